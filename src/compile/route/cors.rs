//! What browsers are told about other origins.

use std::sync::Arc;

use envoy_api::envoy::{
    config::{core::v3::RuntimeFractionalPercent, route::v3::Route},
    extensions::filters::http::cors::v3::CorsPolicy,
};

use crate::compile::{
    listener::CORS_FILTER,
    message::{share, string_matcher},
};
use crate::model::{Cors, PerMillion};

/// Makes the listener's CORS filter act on a route.
pub(super) fn add_to_route(route: &mut Route, cors: &Cors) {
    let policy = CorsPolicy {
        allow_origin_string_match: cors.allow_origins.iter().map(string_matcher).collect(),
        allow_methods: listed(&cors.allow_methods),
        allow_headers: listed(&cors.allow_headers),
        expose_headers: listed(&cors.expose_headers),
        max_age: cors.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: cors.allow_credentials,
        filter_enabled: Some(RuntimeFractionalPercent {
            default_value: Some(share(PerMillion::ALL)),
            ..RuntimeFractionalPercent::default()
        }),
        forward_not_matching_preflights: Some(cors.forward_unmatched_preflights),
        ..CorsPolicy::default()
    };
    route.typed_per_filter_config.insert(CORS_FILTER.to_owned(), envoy_api::any(&policy));
}

fn listed(names: &[Arc<str>]) -> String {
    names.join(",")
}
