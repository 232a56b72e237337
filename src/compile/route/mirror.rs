//! Copies of requests.

use envoy_api::envoy::config::{
    core::v3::RuntimeFractionalPercent,
    route::v3::{RouteAction, route_action::RequestMirrorPolicy},
};

use crate::compile::{destination::target, message::share, scope::Scope, virtual_services::Caller};
use crate::model::Mirror;

/// Makes an action send copies, but to destinations that get none of the requests.
pub(super) fn add_to_action(scope: &Scope<'_>, action: &mut RouteAction, mirrors: &[Mirror], caller: Caller<'_>) {
    let policy = |mirror: &Mirror| RequestMirrorPolicy {
        cluster: target(scope, &mirror.destination, caller.port).cluster,
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(share(mirror.share)),
            ..RuntimeFractionalPercent::default()
        }),
        // A copy is no part of what its client waits for.
        trace_sampled: Some(false),
        // The sidecar of who gets the copy knows the service by its names alone.
        disable_shadow_host_suffix_append: true,
        ..RequestMirrorPolicy::default()
    };
    action.request_mirror_policies.extend(mirrors.iter().filter(|mirror| mirror.share.0 > 0).map(policy));
}
