//! How much a cluster takes, and which of its endpoints are left out for a while.

use envoy_api::envoy::{
    config::cluster::v3::{
        CircuitBreakers, OutlierDetection,
        circuit_breakers::{Thresholds, thresholds},
        cluster::{
            CommonLbConfig,
            common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig},
        },
    },
    r#type::v3::Percent,
};

use crate::compile::{
    locality::Preference,
    message::{duration, percent},
};
use crate::model::{ConnectionPool, OutlierDetection as Ejection, RetryBudget, ZoneAwareBalancing};

/// Enforced in all cases, never: the two shares that matter.
const ALWAYS: u32 = 100;
const NEVER: u32 = 0;

/// Limits of connections and requests. What the user does not limit is unlimited: Envoy's own defaults are too low for a mesh.
/// A budget of retries takes the place of their number.
pub(super) fn circuit_breakers(pool: &ConnectionPool, budget: Option<&RetryBudget>) -> CircuitBreakers {
    let limit = |limit: Option<u32>| Some(limit.unwrap_or(u32::MAX));
    let thresholds = Thresholds {
        max_connections: limit(pool.max_connections),
        max_pending_requests: limit(pool.http1_max_pending_requests),
        max_requests: limit(pool.http2_max_requests),
        max_retries: limit(pool.max_retries),
        retry_budget: budget.map(retry_budget),
        track_remaining: true,
        ..Thresholds::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..CircuitBreakers::default() }
}

/// What is not said of a budget is Envoy's default: a fifth of the requests in hand, and never less than three.
fn retry_budget(budget: &RetryBudget) -> thresholds::RetryBudget {
    thresholds::RetryBudget {
        budget_percent: budget.share.map(percent),
        budget_interval: budget.interval.map(duration),
        min_retry_concurrency: budget.min_retry_concurrency,
    }
}

/// When an endpoint is ejected. Success rates are never a reason: the API has no field for them.
pub(super) fn outlier_detection(ejection: &Ejection) -> OutlierDetection {
    let enforced = |count: Option<u32>| count.map(|count| if count > 0 { ALWAYS } else { NEVER });
    let count = |count: Option<u32>| count.filter(|count| *count > 0);
    OutlierDetection {
        consecutive_5xx: count(ejection.consecutive_5xx_errors),
        enforcing_consecutive_5xx: enforced(ejection.consecutive_5xx_errors),
        consecutive_gateway_failure: count(ejection.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: enforced(ejection.consecutive_gateway_errors),
        enforcing_success_rate: Some(NEVER),
        interval: ejection.interval.map(duration),
        base_ejection_time: ejection.base_ejection_time.map(duration),
        max_ejection_percent: ejection.max_ejection_percent,
        split_external_local_origin_errors: ejection.split_local_origin,
        // As in the reference, and unlike with the other counts, 0 is the default.
        consecutive_local_origin_failure: count(ejection.consecutive_local_origin_failures).filter(|_| ejection.split_local_origin),
        enforcing_local_origin_success_rate: ejection.split_local_origin.then_some(NEVER),
        ..OutlierDetection::default()
    }
}

/// Endpoints that are draining or ejected get requests too once fewer than that share is left; 0 means never. A preference of near
/// endpoints lets localities count: by their weights, or as Envoy finds the client's own zone able to serve.
pub(super) fn common(panic_below: u32, preference: Option<&Preference<'_>>) -> CommonLbConfig {
    let specifier = preference.map(|preference| match preference {
        Preference::Zone(setting) => LocalityConfigSpecifier::ZoneAwareLbConfig(zone_aware(setting)),
        Preference::Shares(_) | Preference::Nearest(_) => LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}),
    });
    CommonLbConfig {
        healthy_panic_threshold: Some(Percent { value: panic_below.into() }),
        locality_config_specifier: specifier,
        ..CommonLbConfig::default()
    }
}

/// Envoy would prefer zones where it is not told to leave it.
fn zone_aware(setting: &ZoneAwareBalancing) -> ZoneAwareLbConfig {
    let share = if setting.enabled == Some(false) { 0.0 } else { 100.0 };
    ZoneAwareLbConfig {
        routing_enabled: Some(Percent { value: share }),
        min_cluster_size: setting.min_cluster_size.map(u64::from),
        ..ZoneAwareLbConfig::default()
    }
}
