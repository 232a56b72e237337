//! Conditions on HTTP requests.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::networking::virtual_service as api;

use super::{gateways, headers};
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{HeaderMatch, HttpMatch, StringMatch};

/// Headers that HTTP/2 calls by such names and that may be matched as headers.
const PSEUDO_HEADERS: [&str; 4] = [":authority", ":method", ":path", ":scheme"];

/// All conditions of a route. Where requests are handed between objects, paths can't be matched by regular expressions, because the
/// two objects' paths are joined.
pub(super) fn matches(reading: &mut Reading<'_>, route: &At<'_>, conditions: &[api::HttpMatch], delegating: bool) -> Vec<HttpMatch> {
    let at = route.field("match");
    let read = |(index, condition): (usize, &api::HttpMatch)| {
        let at = at.index(index);
        if delegating && condition.uri.as_ref().is_some_and(|uri| uri.regex.is_some()) {
            reading.error(&at.field("uri"), Code::Conflict, "a path can't be matched by regex where a delegate is in play");
        }
        one(reading, &at, condition)
    };
    conditions.iter().enumerate().map(read).collect()
}

fn one(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::HttpMatch) -> HttpMatch {
    let text = |reading: &mut Reading<'_>, name: &str, value: &Option<api::StringMatch>| {
        let value = value.as_ref()?;
        let read = string_match(reading, &at.field(name), value);
        if value.exact.is_none() && value.prefix.is_none() && value.regex.is_none() {
            reading.error(&at.field(name), Code::Required, "one of exact, prefix and regex is needed");
        }
        read
    };
    let uri = text(reading, "uri", &condition.uri);
    let ignore_uri_case = condition.ignore_uri_case.unwrap_or_default();
    if ignore_uri_case && matches!(uri, Some(StringMatch::Regex(_)) | None) {
        reading.warn(&at.field("ignoreUriCase"), Code::NoEffect, "holds for exact and prefix paths only");
    }
    reading.not_honoured(at, "statPrefix", condition.stat_prefix.is_some());
    if let Some(namespace) = condition.source_namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        reading.namespace_name(&at.field("sourceNamespace"), namespace);
    }
    let mut headers = header_matches(reading, &at.field("headers"), &condition.headers, false);
    headers.extend(header_matches(reading, &at.field("withoutHeaders"), &condition.without_headers, true));
    HttpMatch {
        name: condition.name.as_deref().unwrap_or_default().into(),
        uri,
        ignore_uri_case,
        scheme: text(reading, "scheme", &condition.scheme),
        method: text(reading, "method", &condition.method),
        authority: text(reading, "authority", &condition.authority),
        headers,
        query_params: query_matches(reading, &at.field("queryParams"), &condition.query_params),
        port: reading.optional_port(&at.field("port"), condition.port),
        source_labels: reading.labels(&at.field("sourceLabels"), &condition.source_labels),
        source_namespace: condition.source_namespace.as_deref().filter(|namespace| !namespace.is_empty()).map(Into::into),
        gateways: gateways(reading, at, &condition.gateways),
    }
}

/// A comparison of a text; none where no way of comparing is given.
pub(super) fn string_match(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::StringMatch) -> Option<StringMatch> {
    let given = [condition.exact.is_some(), condition.prefix.is_some(), condition.regex.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        reading.error(at, Code::Conflict, "exact, prefix and regex exclude each other");
    }
    if let Some(regex) = &condition.regex {
        reading.regex(&at.field("regex"), regex);
        return Some(StringMatch::Regex(regex.as_str().into()));
    }
    if let Some(prefix) = &condition.prefix {
        if prefix.is_empty() {
            reading.error(&at.field("prefix"), Code::Required, "a prefix must not be empty: leave the condition out to match everything");
        }
        return Some(StringMatch::Prefix(prefix.as_str().into()));
    }
    condition.exact.as_deref().map(|exact| StringMatch::Exact(exact.into()))
}

fn header_matches(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    conditions: &BTreeMap<String, api::StringMatch>,
    inverted: bool,
) -> Vec<HeaderMatch> {
    let read = |(name, condition): (&String, &api::StringMatch)| {
        let at = at.key(name);
        if !headers::is_header_name(name) && !PSEUDO_HEADERS.contains(&name.as_str()) {
            let claim = name.starts_with("@request.auth.claims");
            let message = match claim {
                true => "this mesh does not route by the claims of a token".to_owned(),
                false => format!("{} is no name of a header", quoted(name)),
            };
            reading.error(&at, Code::BadHeader, message);
        }
        HeaderMatch { name: lower_case(name), value: string_match(reading, &at, condition), inverted }
    };
    conditions.iter().map(read).collect()
}

fn query_matches(reading: &mut Reading<'_>, at: &At<'_>, conditions: &BTreeMap<String, api::StringMatch>) -> Vec<HeaderMatch> {
    let read = |(name, condition): (&String, &api::StringMatch)| {
        let at = at.key(name);
        if name.is_empty() {
            reading.error(&at, Code::BadName, "the name of a query parameter must not be empty");
        }
        HeaderMatch { name: name.as_str().into(), value: string_match(reading, &at, condition), inverted: false }
    };
    conditions.iter().map(read).collect()
}

fn lower_case(name: &str) -> Arc<str> {
    name.to_ascii_lowercase().into()
}
