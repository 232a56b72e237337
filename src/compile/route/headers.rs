//! Changes to headers.

use std::sync::Arc;

use envoy_api::envoy::config::{
    core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
    route::v3::{Route, weighted_cluster::ClusterWeight},
};

use crate::model::HeaderOperations;

/// Makes a route change headers.
pub(super) fn add_to_route(route: &mut Route, operations: Option<&HeaderOperations>) {
    let Some(operations) = operations else { return };
    route.request_headers_to_add.extend(added(&operations.request_set, &operations.request_add));
    route.request_headers_to_remove.extend(removed(&operations.request_remove));
    route.response_headers_to_add.extend(added(&operations.response_set, &operations.response_add));
    route.response_headers_to_remove.extend(removed(&operations.response_remove));
}

/// Makes one destination of several change headers.
pub(super) fn add_to_destination(destination: &mut ClusterWeight, operations: Option<&HeaderOperations>) {
    let Some(operations) = operations else { return };
    destination.request_headers_to_add.extend(added(&operations.request_set, &operations.request_add));
    destination.request_headers_to_remove.extend(removed(&operations.request_remove));
    destination.response_headers_to_add.extend(added(&operations.response_set, &operations.response_add));
    destination.response_headers_to_remove.extend(removed(&operations.response_remove));
}

/// The authority that a change of headers sets, which Envoy knows as a rewrite of the host.
pub(super) fn authority(operations: Option<&HeaderOperations>) -> Option<&str> {
    operations?.request_set.iter().rev().find(|(name, _)| is_authority(name)).map(|(_, value)| &**value)
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("authority")
}

/// Whether Envoy lets a route change that header: what makes up the request line it does not.
fn changeable(name: &str) -> bool {
    !name.starts_with(':') && !is_authority(name)
}

fn added(set: &[(Arc<str>, Arc<str>)], add: &[(Arc<str>, Arc<str>)]) -> Vec<HeaderValueOption> {
    let option = |action: HeaderAppendAction| {
        move |(name, value): &(Arc<str>, Arc<str>)| HeaderValueOption {
            header: Some(HeaderValue { key: name.to_string(), value: value.to_string(), ..HeaderValue::default() }),
            append_action: action.into(),
            ..HeaderValueOption::default()
        }
    };
    let set = set.iter().filter(|(name, _)| changeable(name)).map(option(HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = add.iter().filter(|(name, _)| changeable(name)).map(option(HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).collect()
}

fn removed(names: &[Arc<str>]) -> impl Iterator<Item = String> {
    names.iter().filter(|name| changeable(name)).map(ToString::to_string)
}
