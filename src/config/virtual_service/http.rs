//! Routes of HTTP requests.

use ferromesh_crds::networking::virtual_service::{CorsPolicy, Delegate, HttpRetry, HttpRewrite, HttpRoute};

use super::{destinations, fault, headers, http_action, http_match};
use crate::config::hosts::is_label;
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{self, HttpAction};

/// What Envoy tries again, beside status codes.
const RETRY_CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// All HTTP routes. Those that hand their requests to a delegate are left out, with a warning.
pub(super) fn routes(reading: &mut Reading<'_>, routes: &[HttpRoute], in_delegate: bool) -> Vec<model::HttpRoute> {
    let at = SPEC.field("http");
    routes.iter().enumerate().filter_map(|(index, one)| route(reading, &at.index(index), one, in_delegate)).collect()
}

fn route(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute, in_delegate: bool) -> Option<model::HttpRoute> {
    let matches = http_match::matches(reading, at, &route.match_, route.delegate.is_some() || in_delegate);
    let delegated = route.delegate.as_ref().is_some_and(|one| delegate(reading, at, route, one, in_delegate));
    warn_of_the_rest(reading, at, route);
    let (headers, host) = headers::of_route(reading, at, route);
    let mut rewrite = route.rewrite.as_ref().map(|one| self::rewrite(reading, &at.field("rewrite"), one));
    if let Some(host) = host {
        let rewrite = rewrite.get_or_insert(model::HttpRewrite { uri: None, uri_regex: None, authority: None });
        if rewrite.authority.replace(host).is_some() {
            reading.error(at, Code::Conflict, "rewrite.authority and headers.request.set both set the host");
        }
    }
    let timeout = reading.duration(&at.field("timeout"), route.timeout.as_deref());
    let retry = route.retries.as_ref().map(|one| retry(reading, &at.field("retries"), one));
    let fault = route.fault.as_ref().map(|one| fault::fault(reading, &at.field("fault"), one)).unwrap_or_default();
    let action = if delegated { None } else { action(reading, at, route) };
    let name = route.name.as_deref().unwrap_or_default().into();
    Some(model::HttpRoute { name, matches, action: action?, rewrite, timeout, retry, headers, fault })
}

/// A delegate in place of an action. Returns whether the route has one.
fn delegate(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute, delegate: &Delegate, in_delegate: bool) -> bool {
    let here = at.field("delegate");
    if in_delegate {
        reading.error(&here, Code::Conflict, "a delegate can't hand requests on to another delegate");
        return false;
    }
    for (field, name) in [("name", &delegate.name), ("namespace", &delegate.namespace)] {
        let name = name.as_deref().unwrap_or_default();
        if !name.is_empty() && !name.split('.').all(is_label) {
            reading.error(&here.field(field), Code::BadName, format!("{} is no name", quoted(name)));
        }
    }
    let others =
        [("route", !route.route.is_empty()), ("redirect", route.redirect.is_some()), ("directResponse", route.direct_response.is_some())];
    for (field, present) in others {
        if present {
            reading.error(at, Code::Conflict, format!("delegate and {field} exclude each other"));
        }
    }
    reading.not_honoured(at, "delegate", true);
    true
}

/// Exactly one of `route`, `redirect` and `directResponse`.
fn action(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) -> Option<HttpAction> {
    let exclude = |reading: &mut Reading<'_>, one: &str, others: &[(&str, bool)]| {
        for (other, _) in others.iter().filter(|(_, present)| *present) {
            reading.error(at, Code::Conflict, format!("{one} and {other} exclude each other"));
        }
    };
    let routed = ("route", !route.route.is_empty());
    let rewritten = ("rewrite", route.rewrite.is_some());
    if let Some(redirect) = &route.redirect {
        let others = [routed, rewritten, ("fault", route.fault.is_some()), ("directResponse", route.direct_response.is_some())];
        exclude(reading, "redirect", &others);
        return Some(http_action::redirect(reading, &at.field("redirect"), redirect));
    }
    if let Some(response) = &route.direct_response {
        exclude(reading, "directResponse", &[routed, rewritten]);
        return http_action::direct_response(reading, &at.field("directResponse"), response);
    }
    if route.route.is_empty() {
        reading.error(at, Code::Required, "one of route, redirect and directResponse is needed");
        return None;
    }
    Some(HttpAction::Forward(destinations::of_http(reading, at, &route.route)))
}

/// What the API has and the mesh does not act on, or under another name.
fn warn_of_the_rest(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute) {
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        reading.error(at, Code::Conflict, "mirror and mirrors exclude each other");
    }
    if let Some(mirror) = &route.mirror {
        destinations::one(reading, &at.field("mirror"), mirror);
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let list = at.field("mirrors");
        let at = list.index(index);
        match &mirror.destination {
            Some(destination) => drop(destinations::one(reading, &at.field("destination"), destination)),
            None => reading.required(&at.field("destination")),
        }
        if let Some(share) = &mirror.percentage {
            reading.percentage(&at.field("percentage"), share);
        }
    }
    if let Some(share) = &route.mirror_percentage {
        reading.percentage(&at.field("mirrorPercentage"), share);
    }
    reading.not_honoured(at, "mirror", route.mirror.is_some());
    reading.not_honoured(at, "mirrors", !route.mirrors.is_empty());
    for (field, percent) in [("mirrorPercent", route.mirror_percent), ("mirror_percent", route.mirror_percent_snake)] {
        reading.deprecated(at, field, percent.is_some(), "mirrorPercentage");
        if percent.is_some_and(|percent| percent > 100) {
            reading.error(&at.field(field), Code::OutOfRange, "must be from 0 to 100");
        }
    }
    if let Some(policy) = &route.cors_policy {
        cors(reading, &at.field("corsPolicy"), policy);
    }
    reading.not_honoured(at, "corsPolicy", route.cors_policy.is_some());
    if route.websocket_upgrade.is_some() {
        reading.warn(&at.field("websocketUpgrade"), Code::NoEffect, "deprecated: upgrades to WebSocket are always allowed");
    }
}

fn cors(reading: &mut Reading<'_>, at: &At<'_>, policy: &CorsPolicy) {
    if !policy.allow_origin.is_empty() && !policy.allow_origins.is_empty() {
        reading.error(at, Code::Conflict, "allowOrigin and allowOrigins exclude each other");
    }
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        http_match::string_match(reading, &at.field("allowOrigins").index(index), origin);
    }
    for (field, names) in [("allowHeaders", &policy.allow_headers), ("exposeHeaders", &policy.expose_headers)] {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !headers::is_header_name(name)) {
            reading.error(&at.field(field).index(index), Code::BadHeader, format!("{} is no name of a header", quoted(name)));
        }
    }
    reading.duration(&at.field("maxAge"), policy.max_age.as_deref());
}

fn retry(reading: &mut Reading<'_>, at: &At<'_>, retry: &HttpRetry) -> model::HttpRetry {
    let attempts = reading.count(&at.field("attempts"), retry.attempts).unwrap_or_default();
    let conditions = retry.retry_on.as_deref().unwrap_or_default();
    if attempts == 0 && (retry.per_try_timeout.is_some() || !conditions.is_empty()) {
        reading.error(at, Code::Conflict, "attempts is 0, which turns retries off, so nothing else may be set");
    }
    let is_status = |text: &str| text.parse::<u16>().is_ok_and(|status| (100..=599).contains(&status));
    for condition in conditions.split(',').map(str::trim).filter(|_| !conditions.is_empty()) {
        if !RETRY_CONDITIONS.contains(&condition) && !is_status(condition) {
            reading.error(&at.field("retryOn"), Code::NotAllowed, format!("{} is no condition for retries", quoted(condition)));
        }
    }
    reading.not_honoured(at, "retryRemoteLocalities", retry.retry_remote_localities.is_some());
    reading.not_honoured(at, "retryIgnorePreviousHosts", retry.retry_ignore_previous_hosts.is_some());
    reading.duration(&at.field("backoff"), retry.backoff.as_deref());
    reading.not_honoured(at, "backoff", retry.backoff.is_some());
    model::HttpRetry {
        attempts,
        per_try_timeout: reading.duration(&at.field("perTryTimeout"), retry.per_try_timeout.as_deref()),
        retry_on: conditions.split(',').map(str::trim).collect::<Vec<_>>().join(",").into(),
    }
}

fn rewrite(reading: &mut Reading<'_>, at: &At<'_>, rewrite: &HttpRewrite) -> model::HttpRewrite {
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
    let (uri, authority) = (text(&rewrite.uri), text(&rewrite.authority));
    let regex = rewrite.uri_regex_rewrite.as_ref();
    if uri.is_none() && authority.is_none() && regex.is_none() {
        reading.error(at, Code::Required, "a rewrite needs uri, uriRegexRewrite or authority");
    }
    if uri.is_some() && regex.is_some() {
        reading.error(at, Code::Conflict, "uri and uriRegexRewrite exclude each other");
    }
    let uri_regex = regex.map(|regex| {
        let at = at.field("uriRegexRewrite");
        let (pattern, substitution) = (regex.match_.as_deref().unwrap_or_default(), regex.rewrite.as_deref().unwrap_or_default());
        let shape = reading.regex(&at.field("match"), pattern);
        if let Some(reason) = shape.and_then(|shape| substitution_defect(substitution, shape.groups)) {
            reading.error(&at.field("rewrite"), Code::BadRegex, reason);
        }
        (pattern.into(), substitution.into())
    });
    model::HttpRewrite { uri, uri_regex, authority }
}

/// Why Envoy would refuse a substitution: `\` must be followed by another one or by the number of a group that there is.
fn substitution_defect(substitution: &str, groups: usize) -> Option<String> {
    let mut characters = substitution.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            continue;
        }
        match characters.next() {
            Some('\\') => {}
            Some(digit) if digit.is_ascii_digit() => {
                let group = digit.to_digit(10).map_or(0, |digit| digit as usize);
                if group > groups {
                    return Some(format!("\\{group} means group {group}, but the expression has {groups}"));
                }
            }
            _ => return Some(format!("{}: a backslash must be followed by a digit or a backslash", quoted(substitution))),
        }
    }
    None
}
