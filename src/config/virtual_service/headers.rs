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

/// Header changes of a route, the deprecated fields among them. A new host (`set` of `Host` or `:authority`) is returned apart, because
/// to Envoy that is a rewrite.
pub(super) fn of_route(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) -> (HeaderOperations, Option<Arc<str>>) {
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
    (operations, host)
}

/// Header changes of one destination, the deprecated fields among them.
pub(super) fn of_destination(reading: &mut Reading<'_>, at: &At<'_>, entry: &HttpRouteDestination) -> HeaderOperations {
    let (mut operations, host) = current(reading, at, entry.headers.as_ref());
    if host.is_some() {
        let at = at.field("headers");
        let message = "this mesh does not set a host for a single destination: use the route's rewrite.authority";
        reading.warn(&at.field("request").field("set"), Code::NotHonoured, message);
    }
    reading.deprecated(at, "appendRequestHeaders", !entry.append_request_headers.is_empty(), "headers.request.add");
    operations.request_add.extend(pairs(reading, &at.field("appendRequestHeaders"), &entry.append_request_headers));
    reading.deprecated(at, "appendResponseHeaders", !entry.append_response_headers.is_empty(), "headers.response.add");
    operations.response_add.extend(pairs(reading, &at.field("appendResponseHeaders"), &entry.append_response_headers));
    reading.deprecated(at, "removeRequestHeaders", !entry.remove_request_headers.is_empty(), "headers.request.remove");
    operations.request_remove.extend(names(reading, &at.field("removeRequestHeaders"), entry.remove_request_headers.iter()));
    reading.deprecated(at, "removeResponseHeaders", !entry.remove_response_headers.is_empty(), "headers.response.remove");
    operations.response_remove.extend(names(reading, &at.field("removeResponseHeaders"), entry.remove_response_headers.iter()));
    operations
}

/// `headers`.
fn current(reading: &mut Reading<'_>, at: &At<'_>, headers: Option<&Headers>) -> (HeaderOperations, Option<Arc<str>>) {
    let at = at.field("headers");
    let mut operations = HeaderOperations::default();
    let mut host = None;
    if let Some(request) = headers.and_then(|headers| headers.request.as_ref()) {
        let at = at.field("request");
        let is_host = |name: &str| HOST_NAMES.iter().any(|one| one.eq_ignore_ascii_case(name));
        host = request.set.iter().find(|(name, _)| is_host(name)).map(|(_, value)| value.as_str().into());
        let others: BTreeMap<String, String> =
            request.set.iter().filter(|(name, _)| !is_host(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        operations.request_set = pairs(reading, &at.field("set"), &others);
        operations.request_add = pairs(reading, &at.field("add"), &request.add);
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
        if value.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            reading.error(&here, Code::BadHeader, "the value of a header can't hold line breaks");
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

fn check_name(reading: &mut Reading<'_>, at: &At<'_>, name: &str) {
    if HOST_NAMES.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        reading.error(at, Code::BadHeader, "the host can only be set, in headers.request.set or rewrite.authority");
    } else if !is_header_name(name) {
        reading.error(at, Code::BadHeader, format!("{} is no name of a header", quoted(name)));
    }
}
