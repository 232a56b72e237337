//! Changes to headers.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::networking::virtual_service::{Headers, HttpRoute, HttpRouteDestination};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::HeaderOperations;

type Pairs = Vec<(Arc<str>, Arc<str>)>;

/// Where a header stands that names the request's host.
const HOST_NAMES: [&str; 2] = ["host", ":authority"];

/// Whether a text is a header's name: one or more of the characters that RFC 9110 calls a token.
pub(in crate::config) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Header changes of a route, the deprecated fields among them. A new host (`Host` or `:authority` among the request's headers) is
/// returned apart, because to Envoy that is a rewrite.
pub(super) fn of_route(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) -> (Option<Box<HeaderOperations>>, Option<Arc<str>>) {
    let (mut operations, host) = current(reading, at, route.headers.as_ref());
    for (field, entries) in [("appendHeaders", &route.append_headers), ("appendRequestHeaders", &route.append_request_headers)] {
        reading.deprecated(at, field, !entries.is_empty(), "headers.request.add");
        operations.request_add.extend(pairs(reading, &at.field(field), entries));
    }
    reading.deprecated(at, "appendResponseHeaders", !route.append_response_headers.is_empty(), "headers.response.add");
    operations.response_add.extend(pairs(reading, &at.field("appendResponseHeaders"), &route.append_response_headers));
    reading.deprecated(at, "removeRequestHeaders", !route.remove_request_headers.is_empty(), "headers.request.remove");
    operations.request_remove.extend(names(reading, &at.field("removeRequestHeaders"), route.remove_request_headers.keys()));
    reading.deprecated(at, "removeResponseHeaders", !route.remove_response_headers.is_empty(), "headers.response.remove");
    operations.response_remove.extend(names(reading, &at.field("removeResponseHeaders"), route.remove_response_headers.keys()));
    (operations.boxed(), host)
}

/// Header changes of one destination, the deprecated fields among them.
pub(super) fn of_destination(reading: &mut Reading<'_>, at: &At<'_>, entry: &HttpRouteDestination) -> Option<Box<HeaderOperations>> {
    let (mut operations, host) = current(reading, at, entry.headers.as_ref());
    operations.request_set.extend(host.map(|host| (HOST_NAMES[0].into(), host)));
    reading.deprecated(at, "appendRequestHeaders", !entry.append_request_headers.is_empty(), "headers.request.add");
    operations.request_add.extend(pairs(reading, &at.field("appendRequestHeaders"), &entry.append_request_headers));
    reading.deprecated(at, "appendResponseHeaders", !entry.append_response_headers.is_empty(), "headers.response.add");
    operations.response_add.extend(pairs(reading, &at.field("appendResponseHeaders"), &entry.append_response_headers));
    reading.deprecated(at, "removeRequestHeaders", !entry.remove_request_headers.is_empty(), "headers.request.remove");
    operations.request_remove.extend(names(reading, &at.field("removeRequestHeaders"), entry.remove_request_headers.iter()));
    reading.deprecated(at, "removeResponseHeaders", !entry.remove_response_headers.is_empty(), "headers.response.remove");
    operations.response_remove.extend(names(reading, &at.field("removeResponseHeaders"), entry.remove_response_headers.iter()));
    operations.boxed()
}

/// `headers`.
fn current(reading: &mut Reading<'_>, at: &At<'_>, headers: Option<&Headers>) -> (HeaderOperations, Option<Arc<str>>) {
    let at = at.field("headers");
    let mut operations = HeaderOperations::default();
    let mut host = None;
    if let Some(request) = headers.and_then(|headers| headers.request.as_ref()) {
        let at = at.field("request");
        let mut hosts = request.set.iter().chain(&request.add).filter(|(name, _)| is_host(name)).map(|(_, value)| value);
        host = hosts.next().map(|host| host.as_str().into());
        if hosts.next().is_some() {
            reading.error(&at, Code::Conflict, "the host is set more than once");
        }
        let others = |entries: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            entries.iter().filter(|(name, _)| !is_host(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        operations.request_set = pairs(reading, &at.field("set"), &others(&request.set));
        operations.request_add = pairs(reading, &at.field("add"), &others(&request.add));
        operations.request_remove = names(reading, &at.field("remove"), request.remove.iter());
    }
    if let Some(response) = headers.and_then(|headers| headers.response.as_ref()) {
        let at = at.field("response");
        operations.response_set = pairs(reading, &at.field("set"), &response.set);
        operations.response_add = pairs(reading, &at.field("add"), &response.add);
        operations.response_remove = names(reading, &at.field("remove"), response.remove.iter());
    }
    (operations, host)
}

fn pairs(reading: &mut Reading<'_>, at: &At<'_>, entries: &BTreeMap<String, String>) -> Pairs {
    for (name, value) in entries {
        let here = at.key(name);
        check_name(reading, &here, name);
        if let Some(defect) = value_defect(value) {
            reading.error(&here, Code::BadHeader, defect);
        }
    }
    entries.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
}

fn names<'n>(reading: &mut Reading<'_>, at: &At<'_>, entries: impl Iterator<Item = &'n String>) -> Vec<Arc<str>> {
    let mut read = Vec::new();
    for (index, name) in entries.enumerate() {
        check_name(reading, &at.index(index), name);
        read.push(name.as_str().into());
    }
    read
}

/// Why Envoy would refuse a value: control characters, or a `%` that neither begins nor ends what it replaces, such as
/// `%START_TIME%` or `%REQ(x-a)%`. Two of them stand for one.
fn value_defect(value: &str) -> Option<String> {
    if value.bytes().any(|byte| byte == 0x7f || byte < b' ' && byte != b'\t') {
        return Some("the value of a header can't hold line breaks or other control characters".to_owned());
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        rest = match after.strip_prefix('%') {
            Some(rest) => rest,
            None => match after_variable(after) {
                Some(rest) => rest,
                None => return Some(format!("{}: write %% for a percent sign", quoted(value))),
            },
        };
    }
    None
}

/// What follows a variable at the beginning of a text, which lacks its first `%`: `NAME%`, `NAME(arguments)%`, `NAME(arguments):3%`.
fn after_variable(text: &str) -> Option<&str> {
    let name = text.len() - text.trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_').len();
    let rest = text[name..].strip_prefix('(').map_or(Some(&text[name..]), |inner| inner.split_once(')').map(|(_, rest)| rest))?;
    let limited = rest.strip_prefix(':').map(|limit| limit.trim_start_matches(|c: char| c.is_ascii_digit()));
    limited.unwrap_or(rest).trim_start_matches(' ').strip_prefix('%').filter(|_| name > 0)
}

fn is_host(name: &str) -> bool {
    HOST_NAMES.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn check_name(reading: &mut Reading<'_>, at: &At<'_>, name: &str) {
    if is_host(name) {
        reading.error(at, Code::BadHeader, "the host can only be set, in headers.request or rewrite.authority");
    } else if !is_header_name(name) {
        reading.error(at, Code::BadHeader, format!("{} is no name of a header", quoted(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_is_part_of_a_variable_or_doubled() {
        for good in ["", "plain", "100%%", "%START_TIME%", "a %REQ(x-a)% b", "%REQ(x-a?y-b):12%", "%DOWNSTREAM_REMOTE_ADDRESS%%%", "a\tb"] {
            assert_eq!(value_defect(good), None, "{good}");
        }
        for bad in ["100%", "abc%123", "%START_TIME%%", "%REQ(x", "% %", "a\nb", "a\u{7f}"] {
            assert!(value_defect(bad).is_some(), "{bad}");
        }
    }
}
