//! Conditions on attributes of a request.

use ferromesh_crds::check::nearest;
use ferromesh_crds::security::authorization_policy::{self as api, AuthorizationAction as Action};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{Condition, MetadataMatch, TextAttribute, Values};

/// Attributes with a name in brackets.
const HEADERS: &str = "request.headers";
const CLAIMS: &str = "request.auth.claims";
/// Before the name of one of Envoy's filters.
const METADATA: &str = "experimental.";
const FILTERS: &str = "experimental.envoy.filters.";

/// Attributes that are texts.
const TEXTS: [(&str, TextAttribute); 7] = [
    ("source.namespace", TextAttribute::SourceNamespace),
    ("source.principal", TextAttribute::SourcePrincipal),
    ("source.trustDomain", TextAttribute::SourceTrustDomain),
    ("request.auth.principal", TextAttribute::RequestPrincipal),
    ("request.auth.audiences", TextAttribute::RequestAudiences),
    ("request.auth.presenter", TextAttribute::RequestPresenter),
    ("connection.sni", TextAttribute::ServerName),
];
/// Attributes that are something else.
const OTHERS: [&str; 6] = ["source.ip", "remote.ip", "destination.ip", "destination.port", HEADERS, CLAIMS];
/// Attributes of 1.4's roles, and what says the same now.
const REPLACED: [(&str, &str); 4] = [
    ("destination.namespace", "the policy's own namespace"),
    ("destination.labels", "selector"),
    ("destination.name", "selector or targetRefs"),
    ("destination.user", "selector"),
];

/// Reads a condition.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::Condition, action: Action) -> Option<Condition> {
    let (key, place) = (condition.key.as_str(), at.field("key"));
    if key.is_empty() {
        reading.required(&place);
        return None;
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        reading.error(at, Code::Required, "needs values or notValues");
    }
    let needs_identity = matches!(key, "source.namespace" | "source.principal") || key.starts_with("request.auth.");
    if action == Action::Custom && needs_identity {
        reading.error(&place, Code::Conflict, format!("{} can't be used with action CUSTOM", quoted(key)));
    }
    if let Some((_, attribute)) = TEXTS.iter().find(|(name, _)| *name == key) {
        return Some(Condition::Text(*attribute, values(reading, at, condition, |reading, at, one| reading.text_match(at, one))));
    }
    match key {
        "source.ip" => Some(Condition::SourceAddress(addresses(reading, at, condition))),
        "remote.ip" => Some(Condition::RemoteAddress(addresses(reading, at, condition))),
        "destination.ip" => Some(Condition::DestinationAddress(addresses(reading, at, condition))),
        "destination.port" => {
            Some(Condition::DestinationPort(values(reading, at, condition, |reading, at, one| reading.port_text(at, one))))
        }
        _ => named(reading, at, condition),
    }
}

/// A condition whose key has a name in brackets.
fn named(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::Condition) -> Option<Condition> {
    let (key, place) = (condition.key.as_str(), at.field("key"));
    let (attribute, names) = match key.find('[') {
        Some(start) => (&key[..start], &key[start..]),
        None => (key, ""),
    };
    let metadata = attribute.starts_with(FILTERS) && attribute.len() > FILTERS.len();
    if attribute != HEADERS && attribute != CLAIMS && !metadata {
        reading.error(&place, Code::NotAllowed, unknown(key, attribute));
        return None;
    }
    let Some(name) = names.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|name| !name.is_empty()) else {
        let message = format!("{} needs a name in brackets: {attribute}[NAME]", quoted(key));
        reading.error(&place, Code::NotAllowed, message);
        return None;
    };
    let text = |reading: &mut Reading<'_>, at: &At<'_>, one: &str| reading.text_match(at, one);
    match attribute {
        HEADERS => Some(Condition::Header(name.into(), values(reading, at, condition, text))),
        CLAIMS => Some(Condition::Claim(name.split("][").map(Into::into).collect(), values(reading, at, condition, text))),
        filter => Some(Condition::Metadata {
            filter: filter.strip_prefix(METADATA).unwrap_or(filter).into(),
            key: name.into(),
            values: values(reading, at, condition, metadata_match),
        }),
    }
}

/// What to say of a key that is no attribute.
fn unknown(key: &str, attribute: &str) -> String {
    if let Some((_, successor)) = REPLACED.iter().find(|(name, _)| *name == attribute) {
        return format!("{} is an attribute of Istio 1.4's roles: use {successor}", quoted(key));
    }
    let known = TEXTS.iter().map(|(name, _)| *name).chain(OTHERS);
    match nearest(attribute, known) {
        Some(near) => format!("{} is no attribute, did you mean \"{near}\"?", quoted(key)),
        None => format!("{} is no attribute such as source.ip, request.headers[NAME] or request.auth.claims[NAME]", quoted(key)),
    }
}

fn values<T>(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    condition: &api::Condition,
    read: impl Fn(&mut Reading<'_>, &At<'_>, &str) -> Option<T>,
) -> Values<T> {
    reading.values(at, [("values", &condition.values), ("notValues", &condition.not_values)], |reading, at, one| read(reading, at, one))
}

fn addresses(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::Condition) -> Values<ipnet::IpNet> {
    values(reading, at, condition, |reading, at, one| reading.range(at, one))
}

/// A text, or one in a list if it is in brackets.
fn metadata_match(reading: &mut Reading<'_>, at: &At<'_>, text: &str) -> Option<MetadataMatch> {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(listed) => reading.text_match(at, listed).map(MetadataMatch::Listed),
        None => reading.text_match(at, text).map(MetadataMatch::Text),
    }
}
