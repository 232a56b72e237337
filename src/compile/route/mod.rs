//! Route tables: which request goes where.

mod action;
mod condition;
mod cors;
mod delegate;
mod domains;
mod fault;
mod gateway;
mod headers;
mod host;
mod mirror;
mod outbound;
mod redirect;
mod retry;

use envoy_api::envoy::config::{
    core::v3::Metadata,
    route::v3::{
        Decorator, DirectResponseAction, NonForwardingAction, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route,
        route_action::ClusterSpecifier, route_match::PathSpecifier,
    },
};

use super::{
    message::{api_path, made_by, zero},
    retriable,
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{Destination, HttpAction, HttpMatch, VirtualService};

use delegate::{Rule, rules};

pub(super) use domains::{Domains, free, namespace_that_shortens, short_names};
pub(super) use gateway::{of_gateway_port, of_https_server};
pub(super) use host::{HostKey, Table, hosts};
pub(super) use outbound::{of_service, of_table, sniffed};

/// What routes are called that lead nowhere else.
const INBOUND: &str = "inbound";

/// The longest body that a route may answer itself; Envoy's default of 4 KiB is too short for a page.
const LONGEST_ANSWER: u32 = 1024 * 1024;

/// The routes of one of the workload's ports: everything to its cluster. `called` is the number that clients call.
pub(super) fn inbound(cluster: &str, called: u16, operation: &str) -> RouteConfiguration {
    let action = route::Action::Route(RouteAction { retry_policy: Some(retry::to_application()), ..plain(cluster) });
    let route = Route {
        decorator: decorator(operation, "/*"),
        // What an application passes on from a service that it asked itself says nothing of the requests to it.
        response_headers_to_remove: vec![retriable::HEADER.to_owned()],
        ..everything("default", action)
    };
    let host = VirtualHost {
        name: format!("inbound|http|{called}"),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..VirtualHost::default()
    };
    table(cluster, vec![host])
}

/// The routes of a server that answers itself whatever comes.
pub(super) fn answered_here() -> RouteConfiguration {
    let everything = everything("default", route::Action::NonForwardingAction(NonForwardingAction {}));
    let host = VirtualHost { name: INBOUND.to_owned(), domains: vec!["*".to_owned()], routes: vec![everything], ..VirtualHost::default() };
    table(INBOUND, vec![host])
}

/// Where the routes of a VirtualService lead, those of its delegates among them.
pub(super) fn destinations<'a>(scope: &Scope<'a>, routed: &'a VirtualService) -> Vec<Destination> {
    let mut found = Vec::new();
    for rule in rules(scope, routed) {
        if let HttpAction::Forward(destinations) = &rule.http.action {
            found.extend(destinations.iter().map(|it| it.destination.clone()));
        }
        found.extend(rule.http.mirrors.iter().map(|it| it.destination.clone()));
    }
    let opaque = routed.tls.iter().map(|route| &route.destinations).chain(routed.tcp.iter().map(|route| &route.destinations));
    found.extend(opaque.flatten().map(|it| it.destination.clone()));
    found
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
        let alternatives = rule.http.matches.iter().enumerate();
        for alternative in alternatives.filter(|(_, condition)| scope.may_match_http(condition, caller)) {
            routes.push(route_of(scope, routed, &rule, Some(alternative), caller));
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

fn route_of(
    scope: &Scope<'_>,
    routed: &VirtualService,
    rule: &Rule<'_>,
    alternative: Option<(usize, &HttpMatch)>,
    caller: Caller<'_>,
) -> Route {
    let http = &*rule.http;
    let (place, condition) = alternative.unzip();
    let mut route = Route {
        name: match condition {
            Some(condition) if !condition.name.is_empty() => format!("{}.{}", http.name, condition.name),
            _ => http.name.to_string(),
        },
        r#match: Some(condition.map_or_else(any_path, condition::route_match)),
        metadata: Some(origin(routed, rule, place.unwrap_or(0))),
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

/// The object and field that a route came from. Where that object handed the rule to another one, the field is that one's.
fn origin(routed: &VirtualService, rule: &Rule<'_>, alternative: usize) -> Metadata {
    let mut origin = made_by(&routed.origin, "virtual-service", rule.field(alternative));
    if let (Some(delegate), Some(fields)) = (rule.delegate, origin.filter_metadata.get_mut("istio")) {
        fields.fields.insert("delegate".to_owned(), api_path(delegate, "virtual-service"));
    }
    origin
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
        any && it.headers.is_empty() && it.query_parameters.is_empty() && it.dynamic_metadata.is_empty()
    })
}

/// A route that takes everything.
fn everything(name: &str, action: route::Action) -> Route {
    Route { name: name.to_owned(), r#match: Some(any_path()), action: Some(action), ..Route::default() }
}

/// On to a cluster, with all the time in the world and no retries.
fn plainly_to(cluster: &str) -> route::Action {
    route::Action::Route(plain(cluster))
}

fn plain(cluster: &str) -> RouteAction {
    let cluster_specifier = Some(ClusterSpecifier::Cluster(cluster.to_owned()));
    RouteAction { timeout: Some(zero()), cluster_specifier, ..RouteAction::default() }
}

/// An answer without a body.
fn answer(status: u32) -> route::Action {
    route::Action::DirectResponse(DirectResponseAction { status, ..DirectResponseAction::default() })
}
