//! What is tried again.

use envoy_api::envoy::{
    config::route::v3::{
        RetryPolicy,
        retry_policy::{RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority},
    },
    extensions::retry::{host::previous_hosts::v3::PreviousHostsPredicate, priority::previous_priorities::v3::PreviousPrioritiesConfig},
};

use crate::compile::{message::duration, retriable, scope::Scope};
use crate::model::HttpRetry;

/// What is retried where the user does not say: requests of which the server can't have begun the work.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes,retriable-headers";
/// What is tried again with the proxy's own application: that of which nothing had been sent when the connection ended. Applications close
/// connections that nobody has used for a while, perhaps in the moment in which one is used again.
const BEFORE_REQUEST: &str = "reset-before-request";
/// How often it is retried then.
const RETRIES: u32 = 2;
/// How often another endpoint is looked for that the request has not met yet.
const OTHER_HOSTS: i64 = 5;
/// After how many tries the localities that were met are left out.
const TRIES_IN_LOCALITY: i32 = 2;
/// The condition that refers to a list of status codes.
const STATUS_CODES: &str = "retriable-status-codes";

/// What is retried, how often, as a route says, else as the mesh's settings say; `None` for nothing. Each retry goes to an endpoint that
/// the request has not met, if there is one and the user does not object.
pub(super) fn retry_policy(scope: &Scope<'_>, retry: Option<&HttpRetry>) -> Option<RetryPolicy> {
    let retry = retry.or(scope.settings().default_http_retry_policy.as_ref());
    let attempts = retry.map_or(RETRIES, |retry| retry.attempts);
    if attempts == 0 {
        return None;
    }
    let asked = retry.map(|retry| &*retry.retry_on).filter(|text| !text.is_empty()).unwrap_or(RETRY_ON);
    let (retry_on, retriable_status_codes) = conditions(asked);
    let retriable_headers =
        if retry_on.split(',').any(|name| name == retriable::CONDITION) { vec![retriable::matcher()] } else { Vec::new() };
    let other_hosts = retry.and_then(|retry| retry.ignore_previous_hosts).unwrap_or(true);
    let other_localities = retry.and_then(|retry| retry.remote_localities).unwrap_or(false);
    Some(RetryPolicy {
        retry_on,
        retriable_status_codes,
        retriable_headers,
        num_retries: Some(attempts),
        per_try_timeout: retry.and_then(|retry| retry.per_try_timeout).map(duration),
        retry_host_predicate: if other_hosts { vec![unmet_hosts()] } else { Vec::new() },
        host_selection_retry_max_attempts: OTHER_HOSTS,
        retry_priority: other_localities.then(unmet_localities),
        retry_back_off: retry
            .and_then(|retry| retry.backoff)
            .map(|pause| RetryBackOff { base_interval: Some(duration(pause)), ..RetryBackOff::default() }),
        ..RetryPolicy::default()
    })
}

/// What is retried on the way to the proxy's own application.
pub(super) fn to_application() -> RetryPolicy {
    RetryPolicy { retry_on: BEFORE_REQUEST.to_owned(), num_retries: Some(RETRIES), ..RetryPolicy::default() }
}

fn unmet_hosts() -> RetryHostPredicate {
    let predicate = retry_host_predicate::ConfigType::TypedConfig(envoy_api::any(&PreviousHostsPredicate {}));
    RetryHostPredicate { name: "envoy.retry_host_predicates.previous_hosts".to_owned(), config_type: Some(predicate) }
}

fn unmet_localities() -> RetryPriority {
    let config = PreviousPrioritiesConfig { update_frequency: TRIES_IN_LOCALITY };
    let config = retry_priority::ConfigType::TypedConfig(envoy_api::any(&config));
    RetryPriority { name: "envoy.retry_priorities.previous_priorities".to_owned(), config_type: Some(config) }
}

/// Users list status codes among the conditions; Envoy takes them apart from them.
fn conditions(text: &str) -> (String, Vec<u32>) {
    let (codes, mut names): (Vec<_>, Vec<_>) =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).partition(|part| part.parse::<u32>().is_ok());
    if !codes.is_empty() && !names.contains(&STATUS_CODES) {
        names.push(STATUS_CODES);
    }
    (names.join(","), codes.into_iter().filter_map(|code| code.parse().ok()).collect())
}
