//! What a route does with a request.

use envoy_api::envoy::{
    config::core::v3::{DataSource, data_source},
    config::route::v3::{
        DirectResponseAction, Route, RouteAction, WeightedCluster, route,
        route_action::{ClusterSpecifier, HostRewriteSpecifier},
        weighted_cluster::{ClusterWeight, cluster_weight},
    },
    r#type::matcher::v3::RegexMatchAndSubstitute,
};

use super::{headers, mirror, redirect::redirect, retry::retry_policy};
use crate::compile::{
    destination::{Target, target, weighted},
    hashing,
    message::{duration, inline, regex, zero},
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{Body, HttpAction, HttpRewrite, HttpRoute, TrafficPolicy, WeightedDestination};

/// Gives a route its action. Returns the `host:port` to which it leads, if it is one.
pub(super) fn act(scope: &Scope<'_>, route: &mut Route, http: &HttpRoute, caller: Caller<'_>) -> Option<String> {
    match &http.action {
        HttpAction::Forward(destinations) => return forward(scope, route, http, destinations, caller),
        HttpAction::Redirect(to) => route.action = Some(route::Action::Redirect(redirect(to, caller))),
        HttpAction::Respond { status, body } => {
            let body = body.as_ref().map(body_of);
            let answer = DirectResponseAction { status: (*status).into(), body, ..DirectResponseAction::default() };
            route.action = Some(route::Action::DirectResponse(answer));
        }
        HttpAction::Delegate { .. } => {}
    }
    None
}

fn body_of(body: &Body) -> DataSource {
    match body {
        Body::Text(text) => inline(text),
        Body::Bytes(bytes) => DataSource { specifier: Some(data_source::Specifier::InlineBytes(bytes.to_vec())), ..DataSource::default() },
    }
}

/// On to a service's own cluster, as where there is no VirtualService. `policy` is the service's.
pub(super) fn to_service(scope: &Scope<'_>, cluster: &str, policy: &TrafficPolicy) -> route::Action {
    route::Action::Route(RouteAction {
        timeout: Some(zero()),
        retry_policy: retry_policy(scope, None),
        hash_policy: hashing::of_requests([policy].into_iter()),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..RouteAction::default()
    })
}

fn forward(
    scope: &Scope<'_>,
    route: &mut Route,
    http: &HttpRoute,
    destinations: &[WeightedDestination],
    caller: Caller<'_>,
) -> Option<String> {
    let mut action = RouteAction {
        timeout: Some(http.timeout.map_or(zero(), duration)),
        retry_policy: retry_policy(scope, http.retry.as_deref()),
        ..RouteAction::default()
    };
    let mut authority = headers::authority(http.headers.as_deref()).map(str::to_owned);
    if let Some(rewrite) = &http.rewrite {
        rewrite_path(&mut action, rewrite);
        authority = rewrite.authority.as_deref().map(str::to_owned).or(authority);
    }
    let destinations = weighted(destinations);
    let targets: Vec<Target> = destinations.iter().map(|it| target(scope, &it.destination, caller.port)).collect();
    action.hash_policy = hashing::of_requests(targets.iter().map(|target| &target.policy));
    let mut leads_to = None;
    action.cluster_specifier = Some(match (&*destinations, &*targets) {
        ([only], [target]) => {
            headers::add_to_route(route, only.headers.as_deref());
            // Among several destinations, too, Envoy lets the route's own host count.
            authority = authority.or_else(|| headers::authority(only.headers.as_deref()).map(str::to_owned));
            leads_to = Some(target.authority.clone());
            ClusterSpecifier::Cluster(target.cluster.clone())
        }
        (several, targets) => {
            let clusters = several.iter().zip(targets).map(|(it, target)| cluster_weight(it, target)).collect();
            ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..WeightedCluster::default() })
        }
    });
    mirror::add_to_action(scope, &mut action, &http.mirrors, caller);
    action.host_rewrite_specifier = authority.map(HostRewriteSpecifier::HostRewriteLiteral);
    route.action = Some(route::Action::Route(action));
    leads_to
}

fn cluster_weight(to: &WeightedDestination, target: &Target) -> ClusterWeight {
    let authority = headers::authority(to.headers.as_deref()).map(str::to_owned);
    let mut destination = ClusterWeight {
        name: target.cluster.clone(),
        weight: Some(to.weight),
        host_rewrite_specifier: authority.map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral),
        ..ClusterWeight::default()
    };
    headers::add_to_destination(&mut destination, to.headers.as_deref());
    destination
}

fn rewrite_path(action: &mut RouteAction, rewrite: &HttpRewrite) {
    if let Some(uri) = &rewrite.uri {
        // Where the path must match as a whole, Envoy takes this for the whole path.
        action.prefix_rewrite = uri.to_string();
    } else if let Some((pattern, substitution)) = &rewrite.uri_regex {
        let rewrite = RegexMatchAndSubstitute { pattern: Some(regex(pattern)), substitution: substitution.to_string() };
        action.regex_rewrite = Some(rewrite);
    }
}
