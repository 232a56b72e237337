//! Conditions on HTTP requests.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::networking::virtual_service as api;

use super::gateways;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::{Reading, fitted};
use crate::config::text::{filled, is_header_name, shared};
use crate::model::{ClaimMatch, HeaderMatch, HttpMatch, StringMatch};

/// Headers that HTTP/2 calls by such names and that may be matched as headers.
const PSEUDO_HEADERS: [&str; 4] = [":authority", ":method", ":path", ":scheme"];

/// What conditions on a token's claims begin with, where they stand among the headers.
const CLAIMS: &str = "@request.auth.claims";
/// The regular expression that stands for "is there" in `withoutHeaders`, though it is none.
const ANY: &str = "*";

/// All conditions of a route. Claims are known at gateways only.
pub(super) fn matches(reading: &mut Reading<'_>, route: &At<'_>, conditions: &[api::HttpMatch], at_gateways: bool) -> Vec<HttpMatch> {
    let at = route.field("match");
    conditions.iter().enumerate().map(|(index, condition)| one(reading, &at.index(index), condition, at_gateways)).collect()
}

fn one(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::HttpMatch, at_gateways: bool) -> HttpMatch {
    let text = |reading: &mut Reading<'_>, name: &str, value: &Option<api::StringMatch>| {
        let value = value.as_ref()?;
        let at = at.field(name);
        if is_empty(value) {
            reading.warn(&at, Code::NoEffect, "without exact, prefix or regex it always holds");
        }
        string_match(reading, &at, value)
    };
    // Any path begins with the empty text; of the others Envoy wants more.
    let everything = |uri: &&api::StringMatch| uri.prefix.as_deref() == Some("");
    let uri = match condition.uri.as_ref().filter(everything) {
        Some(_) => Some(StringMatch::Prefix("".into())),
        None => text(reading, "uri", &condition.uri),
    };
    let ignore_uri_case = condition.ignore_uri_case.unwrap_or_default();
    if ignore_uri_case && matches!(uri, Some(StringMatch::Regex(_)) | None) {
        reading.warn(&at.field("ignoreUriCase"), Code::NoEffect, "holds for exact and prefix paths only");
    }
    if let Some(namespace) = filled(&condition.source_namespace) {
        reading.namespace_name(&at.field("sourceNamespace"), namespace);
    }
    let mut fields = Fields { headers: Vec::new(), claims: Vec::new(), at_gateways };
    fields.read(reading, &at.field("headers"), &condition.headers, false);
    fields.read(reading, &at.field("withoutHeaders"), &condition.without_headers, true);
    HttpMatch {
        name: condition.name.as_deref().unwrap_or_default().into(),
        uri,
        ignore_uri_case,
        scheme: text(reading, "scheme", &condition.scheme),
        method: text(reading, "method", &condition.method),
        authority: text(reading, "authority", &condition.authority),
        headers: fitted(fields.headers),
        claims: fields.claims,
        query_params: query_matches(reading, &at.field("queryParams"), &condition.query_params),
        port: reading.optional_port(&at.field("port"), condition.port),
        source_labels: reading.labels(&at.field("sourceLabels"), &condition.source_labels),
        source_namespace: shared(&condition.source_namespace),
        gateways: gateways(reading, at, &condition.gateways),
        stat_prefix: shared(&condition.stat_prefix),
    }
}

/// Whether no way of comparing is given.
pub(super) fn is_empty(condition: &api::StringMatch) -> bool {
    condition.exact.is_none() && condition.prefix.is_none() && condition.regex.is_none()
}

/// A comparison of a text; none where no way of comparing is given.
pub(super) fn string_match(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::StringMatch) -> Option<StringMatch> {
    let ways = [("exact", condition.exact.is_some()), ("prefix", condition.prefix.is_some()), ("regex", condition.regex.is_some())];
    reading.at_most_one(at, ways);
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

/// Conditions that stand among the headers of a match.
struct Fields {
    headers: Vec<HeaderMatch>,
    claims: Vec<ClaimMatch>,
    at_gateways: bool,
}

// === impl Fields ===

impl Fields {
    fn read(&mut self, reading: &mut Reading<'_>, at: &At<'_>, conditions: &BTreeMap<String, api::StringMatch>, inverted: bool) {
        for (name, condition) in conditions {
            let at = at.key(name);
            let present = inverted && condition.regex.as_deref() == Some(ANY);
            let value = if present { None } else { string_match(reading, &at, condition) };
            if let Some(claim) = name.get(..CLAIMS.len()).filter(|start| start.eq_ignore_ascii_case(CLAIMS)).map(|_| &name[CLAIMS.len()..])
            {
                let path = self.claim(reading, &at, name, claim);
                self.claims.push(ClaimMatch { path, value, inverted });
                continue;
            }
            if !is_header_name(name) && !PSEUDO_HEADERS.contains(&name.as_str()) {
                reading.error(&at, Code::BadHeader, format!("{} is no name of a header", quoted(name)));
            }
            self.headers.push(HeaderMatch { name: name.to_ascii_lowercase().into(), value, inverted });
        }
    }

    /// The steps to a claim: `.a.b`, or `[a][b]` where names have dots.
    fn claim(&self, reading: &mut Reading<'_>, at: &At<'_>, name: &str, text: &str) -> Vec<Arc<str>> {
        let steps: Vec<&str> = match (text.strip_prefix('.'), text.strip_prefix('[').and_then(|text| text.strip_suffix(']'))) {
            (Some(dotted), _) => dotted.split('.').collect(),
            (None, Some(bracketed)) => bracketed.split("][").collect(),
            (None, None) => Vec::new(),
        };
        if steps.is_empty() || steps.contains(&"") {
            reading.error(at, Code::BadHeader, format!("{} names no claim: write {CLAIMS}.NAME or {CLAIMS}[NAME]", quoted(name)));
        } else if !self.at_gateways {
            reading.error(at, Code::Conflict, "a token's claims are known at gateways only: name gateways other than mesh");
        }
        steps.into_iter().map(Into::into).collect()
    }
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
