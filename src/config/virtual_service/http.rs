//! Routes of HTTP requests.

use ferromesh_crds::networking::virtual_service::{Delegate, HttpRetry, HttpRewrite, HttpRoute};

use super::{cors, destinations, fault, headers, http_action, http_match, mirrors};
use crate::config::hosts::is_label;
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, quoted};
use crate::config::reading::{Reading, fitted};
use crate::config::text::shared;
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

/// Where routes hold.
pub(super) struct Place {
    /// In an object without hosts, to which others hand requests.
    pub(super) in_delegate: bool,
    /// At gateways alone, never at sidecars.
    pub(super) at_gateways: bool,
}

/// All HTTP routes.
pub(super) fn routes(reading: &mut Reading<'_>, routes: &[HttpRoute], place: &Place) -> Vec<model::HttpRoute> {
    let at = SPEC.field("http");
    fitted(routes.iter().enumerate().filter_map(|(index, one)| route(reading, &at.index(index), one, place)))
}

fn route(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute, place: &Place) -> Option<model::HttpRoute> {
    let matches = http_match::matches(reading, at, &route.match_, place.at_gateways);
    if route.websocket_upgrade.is_some() {
        let message = "deprecated: upgrades to WebSocket are always allowed, so it has no successor";
        reading.warn(&at.field("websocketUpgrade"), Code::Deprecated, message);
    }
    let (headers, host) = headers::of_route(reading, at, route);
    let mut rewrite = route.rewrite.as_ref().map(|one| Box::new(self::rewrite(reading, &at.field("rewrite"), one)));
    if let Some(host) = host
        && rewrite.get_or_insert_default().authority.replace(host).is_some()
    {
        reading.error(at, Code::Conflict, "rewrite.authority and headers.request both set the host");
    }
    let cors = route.cors_policy.as_ref().map(|one| Box::new(cors::read(reading, &at.field("corsPolicy"), one)));
    Some(model::HttpRoute {
        name: route.name.as_deref().unwrap_or_default().into(),
        matches,
        rewrite,
        timeout: reading.duration(&at.field("timeout"), route.timeout.as_deref()),
        retry: route.retries.as_ref().map(|one| Box::new(retry(reading, &at.field("retries"), one))),
        headers,
        fault: route.fault.as_ref().map(|one| fault::fault(reading, &at.field("fault"), one)).unwrap_or_default(),
        mirrors: mirrors::read(reading, at, route),
        cors,
        action: match &route.delegate {
            Some(one) => delegate(reading, at, route, one, place),
            None => action(reading, at, route),
        }?,
    })
}

/// A delegate in place of an action.
fn delegate(reading: &mut Reading<'_>, at: &At<'_>, route: &HttpRoute, delegate: &Delegate, place: &Place) -> Option<HttpAction> {
    let here = at.field("delegate");
    if place.in_delegate {
        reading.error(&here, Code::Conflict, "a delegate can't hand requests on to another delegate");
    }
    let (name, namespace) = (delegate.name.as_deref().unwrap_or_default(), delegate.namespace.as_deref().unwrap_or_default());
    if name.is_empty() {
        reading.required(&here.field("name"));
    } else if !name.split('.').all(is_label) {
        reading.error(&here.field("name"), Code::BadName, format!("{} is no name", quoted(name)));
    }
    if !namespace.is_empty() {
        reading.namespace_name(&here.field("namespace"), namespace);
    }
    let others =
        [("route", !route.route.is_empty()), ("redirect", route.redirect.is_some()), ("directResponse", route.direct_response.is_some())];
    for (field, _) in others.iter().filter(|(_, present)| *present) {
        reading.error(at, Code::Conflict, format!("delegate and {field} exclude each other"));
    }
    let namespace = if namespace.is_empty() { reading.namespace() } else { namespace };
    Some(HttpAction::Delegate { namespace: namespace.into(), name: name.into() })
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
        exclude(reading, "directResponse", &[routed, rewritten, ("fault", route.fault.is_some())]);
        return http_action::direct_response(reading, &at.field("directResponse"), response);
    }
    if route.route.is_empty() {
        reading.error(at, Code::Required, "one of route, redirect, directResponse and delegate is needed");
        return None;
    }
    Some(HttpAction::Forward(destinations::of_http(reading, at, &route.route)))
}

fn retry(reading: &mut Reading<'_>, at: &At<'_>, retry: &HttpRetry) -> model::HttpRetry {
    let attempts = reading.count(&at.field("attempts"), retry.attempts).unwrap_or_default();
    let conditions = retry.retry_on.as_deref().unwrap_or_default();
    let others = retry.per_try_timeout.is_some() || retry.retry_remote_localities.is_some() || !conditions.is_empty();
    if attempts == 0 && others {
        reading.error(at, Code::Conflict, "attempts is 0, which turns retries off, so nothing else may be set");
    }
    for condition in conditions.split(',').map(str::trim).filter(|_| !conditions.is_empty()) {
        if !is_retry_condition(condition) {
            reading.error(&at.field("retryOn"), Code::NotAllowed, format!("{} is no condition for retries", quoted(condition)));
        }
    }
    model::HttpRetry {
        attempts,
        per_try_timeout: reading.duration(&at.field("perTryTimeout"), retry.per_try_timeout.as_deref()),
        retry_on: conditions.split(',').map(str::trim).collect::<Vec<_>>().join(",").into(),
        backoff: reading.duration(&at.field("backoff"), retry.backoff.as_deref()),
        ignore_previous_hosts: retry.retry_ignore_previous_hosts,
        remote_localities: retry.retry_remote_localities,
    }
}

/// Whether that is a condition under which Envoy retries: a name of its own, or a status code.
pub(in crate::config) fn is_retry_condition(text: &str) -> bool {
    RETRY_CONDITIONS.contains(&text) || text.parse::<u16>().is_ok_and(|status| (100..=599).contains(&status))
}

fn rewrite(reading: &mut Reading<'_>, at: &At<'_>, rewrite: &HttpRewrite) -> model::HttpRewrite {
    let (uri, authority) = (shared(&rewrite.uri), shared(&rewrite.authority));
    let regex = rewrite.uri_regex_rewrite.as_ref();
    if uri.is_none() && authority.is_none() && regex.is_none() {
        reading.error(at, Code::Required, "a rewrite needs uri, uriRegexRewrite or authority");
    }
    reading.at_most_one(at, [("uri", uri.is_some()), ("uriRegexRewrite", regex.is_some())]);
    let uri_regex = regex.map(|regex| {
        let at = at.field("uriRegexRewrite");
        let (pattern, substitution) = (regex.match_.as_deref().unwrap_or_default(), regex.rewrite.as_deref().unwrap_or_default());
        if substitution.is_empty() {
            reading.required(&at.field("rewrite"));
        }
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
