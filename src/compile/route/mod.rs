//! Route tables: which request goes where.

mod action;
mod condition;
mod cors;
mod delegate;
mod domains;
mod fault;
mod gateway;
mod headers;
mod mirror;
mod outbound;
mod redirect;
mod retry;

use envoy_api::envoy::config::{
    core::v3::Metadata,
    route::v3::{
        Decorator, DirectResponseAction, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route,
        route_action::ClusterSpecifier, route_match::PathSpecifier,
    },
};

use super::{
    message::{api_path, metadata, object, zero},
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{HttpMatch, VirtualService};

use delegate::{Rule, rules};

pub(super) use gateway::{of_gateway_port, of_https_server};
pub(super) use outbound::{of_port, sniffed};

/// The longest body that a route may answer itself; Envoy's default of 4 KiB is too short for a page.
const LONGEST_ANSWER: u32 = 1024 * 1024;

/// The routes of one of the workload's ports: everything to its cluster. `called` is the number that clients call.
pub(super) fn inbound(cluster: &str, called: u16, operation: &str) -> RouteConfiguration {
    let host = VirtualHost {
        name: format!("inbound|http|{called}"),
        domains: vec!["*".to_owned()],
        routes: vec![Route { decorator: decorator(operation, "/*"), ..everything("default", plainly_to(cluster)) }],
        ..VirtualHost::default()
    };
    table(cluster, vec![host])
}

/// A table of that name. Its clusters may come later than it, or never.
fn table(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        validate_clusters: Some(false),
        max_direct_response_body_size_bytes: Some(LONGEST_ANSWER),
        ..RouteConfiguration::default()
    }
}

/// The routes that a VirtualService gives to a caller: those whose conditions the caller can fulfil. What would follow a route that
/// takes everything is left out.
fn routes_of<'a>(scope: &Scope<'a>, routed: &'a VirtualService, caller: Caller<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    for rule in rules(scope, routed) {
        let before = routes.len();
        if rule.http.matches.is_empty() {
            routes.push(route_of(scope, routed, &rule, None, caller));
        }
        for condition in rule.http.matches.iter().filter(|condition| scope.may_match_http(condition, caller)) {
            routes.push(route_of(scope, routed, &rule, Some(condition), caller));
            if routes.last().is_some_and(takes_everything) {
                break;
            }
        }
        if let Some(delegate) = rule.delegate.filter(|_| routes.len() > before) {
            scope.shaped_by(delegate);
        }
        if routes.last().is_some_and(takes_everything) {
            break;
        }
    }
    if !routes.is_empty() {
        scope.shaped_by(&routed.origin);
    }
    routes
}

fn route_of(scope: &Scope<'_>, routed: &VirtualService, rule: &Rule<'_>, condition: Option<&HttpMatch>, caller: Caller<'_>) -> Route {
    let http = &*rule.http;
    let mut route = Route {
        name: match condition {
            Some(condition) if !condition.name.is_empty() => format!("{}.{}", http.name, condition.name),
            _ => http.name.to_string(),
        },
        r#match: Some(condition.map_or_else(any_path, condition::route_match)),
        metadata: Some(origin(routed, rule)),
        stat_prefix: condition.and_then(|condition| condition.stat_prefix.as_deref()).unwrap_or_default().to_owned(),
        ..Route::default()
    };
    headers::add_to_route(&mut route, http.headers.as_deref());
    fault::add_to_route(&mut route, &http.fault);
    if let Some(cors) = &http.cors {
        cors::add_to_route(&mut route, cors);
    }
    let authority = action::act(scope, &mut route, http, caller);
    let authority = authority.unwrap_or_else(|| format!("{}:{}", routed.origin.name, caller.port));
    route.decorator = decorator(&authority, &condition::shown(condition));
    route
}

/// The object that a route came from, in the form that the reference's tools read, and the one to which that handed it.
fn origin(routed: &VirtualService, rule: &Rule<'_>) -> Metadata {
    let config = ("config", api_path(&routed.origin, "virtual-service"));
    let delegate = rule.delegate.map(|it| ("delegate", api_path(it, "virtual-service")));
    metadata("istio", object([config].into_iter().chain(delegate)))
}

/// What a route is called in traces; nothing where nobody knows its destination.
fn decorator(authority: &str, path: &str) -> Option<Decorator> {
    (!authority.is_empty()).then(|| Decorator { operation: format!("{authority}{path}"), ..Decorator::default() })
}

fn any_path() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() }
}

/// Whether no request gets past a route.
fn takes_everything(route: &Route) -> bool {
    route.r#match.as_ref().is_some_and(|it| {
        let any = match &it.path_specifier {
            Some(PathSpecifier::Prefix(prefix)) => prefix.is_empty() || prefix == "/",
            Some(PathSpecifier::SafeRegex(matcher)) => matcher.regex == ".*",
            _ => false,
        };
        any && it.headers.is_empty() && it.query_parameters.is_empty()
    })
}

/// A route that takes everything.
fn everything(name: &str, action: route::Action) -> Route {
    Route { name: name.to_owned(), r#match: Some(any_path()), action: Some(action), ..Route::default() }
}

/// On to a cluster, with all the time in the world and no retries.
fn plainly_to(cluster: &str) -> route::Action {
    let cluster_specifier = Some(ClusterSpecifier::Cluster(cluster.to_owned()));
    route::Action::Route(RouteAction { timeout: Some(zero()), cluster_specifier, ..RouteAction::default() })
}

/// An answer without a body.
fn answer(status: u32) -> route::Action {
    route::Action::DirectResponse(DirectResponseAction { status, ..DirectResponseAction::default() })
}
