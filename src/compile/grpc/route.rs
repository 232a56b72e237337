//! Route tables as gRPC takes them: one for each port of a service.

use envoy_api::envoy::config::route::v3::{Route, RouteAction, route, route_action::MaxStreamDuration};

use super::{GrpcRecipe, called};
use crate::compile::{
    listener::FAULT_FILTER,
    naming::outbound_cluster,
    resource::{Draft, ResourceType},
    route::of_service,
    scope::Scope,
};
use crate::model::ServiceKey;

/// The table of a service's port is called as its cluster is.
pub(super) fn table_name(service: &ServiceKey, port: u16) -> String {
    outbound_cluster(port, None, &service.host)
}

/// The tables of all that the application may call.
pub(super) fn tables(scope: &Scope<'_>) -> Vec<GrpcRecipe> {
    let table = |service: &ServiceKey, port| GrpcRecipe::Routes(service.clone(), port);
    called(scope).into_iter().flat_map(|(service, ports)| ports.into_iter().map(move |port| table(&service.key, port))).collect()
}

/// The routes of a service's port.
pub(super) fn table(scope: &Scope<'_>, service: &ServiceKey, port: u16) -> Option<Draft> {
    let name = table_name(service, port);
    let mut table = of_service(scope, service, port, &name)?;
    table.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes).for_each(adapt);
    Some(Draft::new(ResourceType::Route, &name, &table))
}

/// Leaves of a route what gRPC does not refuse the table for, and says how long a call may take where gRPC looks for it.
fn adapt(route: &mut Route) {
    // What browsers may do is no matter here.
    route.typed_per_filter_config.retain(|filter, _| filter == FAULT_FILTER);
    let Some(route::Action::Route(RouteAction { timeout, max_stream_duration, .. })) = &mut route.action else { return };
    let limit = timeout.filter(|timeout| (timeout.seconds, timeout.nanos) != (0, 0));
    *max_stream_duration = limit.map(|limit| MaxStreamDuration { max_stream_duration: Some(limit), ..MaxStreamDuration::default() });
}
