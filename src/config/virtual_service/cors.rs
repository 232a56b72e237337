//! What browsers are told about other origins.

use std::sync::Arc;

use ferromesh_crds::networking::virtual_service::{CorsPolicy, StringMatch as ApiMatch, UnmatchedPreflights};

use super::http_match;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{Cors, StringMatch};

/// The methods that HTTP and WebDAV-free clients know; the reference takes the same.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

/// `corsPolicy`. The old `allowOrigin` counts only where `allowOrigins` is empty, as in the reference.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, policy: &CorsPolicy) -> Cors {
    reading.deprecated(at, "allowOrigin", !policy.allow_origin.is_empty(), "allowOrigins");
    if !policy.allow_origin.is_empty() && !policy.allow_origins.is_empty() {
        reading.warn(&at.field("allowOrigin"), Code::NoEffect, "allowOrigins is there, so this has no effect");
    }
    let list = at.field("allowOrigins");
    let origins = policy.allow_origins.iter().enumerate();
    let origins: Vec<StringMatch> = origins.filter_map(|(index, one)| origin(reading, &list.index(index), one)).collect();
    let methods = at.field("allowMethods");
    for (index, method) in policy.allow_methods.iter().enumerate().filter(|(_, method)| !METHODS.contains(&method.as_str())) {
        reading.error(&methods.index(index), Code::NotAllowed, format!("{} is not one of {}", quoted(method), METHODS.join(", ")));
    }
    let max_age = reading.duration(&at.field("maxAge"), policy.max_age.as_deref());
    if max_age.is_some_and(|age| age.subsec_nanos() != 0) {
        let text = policy.max_age.as_deref().unwrap_or_default();
        reading.error(
            &at.field("maxAge"),
            Code::BadDuration,
            format!("{} is finer than a second, which is what browsers count", quoted(text)),
        );
    }
    Cors {
        allow_origins: if origins.is_empty() { policy.allow_origin.iter().map(|one| old_origin(one)).collect() } else { origins },
        allow_methods: policy.allow_methods.iter().map(|method| method.as_str().into()).collect(),
        allow_headers: header_names(reading, &at.field("allowHeaders"), &policy.allow_headers),
        expose_headers: header_names(reading, &at.field("exposeHeaders"), &policy.expose_headers),
        max_age,
        allow_credentials: policy.allow_credentials,
        forward_unmatched_preflights: policy.unmatched_preflights != Some(UnmatchedPreflights::Ignore),
    }
}

fn origin(reading: &mut Reading<'_>, at: &At<'_>, origin: &ApiMatch) -> Option<StringMatch> {
    let given = [&origin.exact, &origin.prefix, &origin.regex];
    if given.iter().all(|one| one.as_deref().unwrap_or_default().is_empty()) {
        reading.error(at, Code::Required, "one of exact, prefix and regex is needed, and it must not be empty");
        return None;
    }
    http_match::string_match(reading, at, origin)
}

/// An origin as 1.4 has it: the whole text, or `*` for any.
fn old_origin(origin: &str) -> StringMatch {
    match origin {
        "*" => StringMatch::Regex(".*".into()),
        origin => StringMatch::Exact(origin.into()),
    }
}

fn header_names(reading: &mut Reading<'_>, at: &At<'_>, names: &[String]) -> Vec<Arc<str>> {
    at.each(names, |at, name| reading.header_name(at, name))
}
