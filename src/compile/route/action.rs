//! What a route does with a request.

use envoy_api::envoy::{
    config::core::v3::{DataSource, data_source},
    config::route::v3::{
        DirectResponseAction, RedirectAction, RetryPolicy, Route, RouteAction, WeightedCluster,
        redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
        retry_policy::{RetryHostPredicate, retry_host_predicate},
        route,
        route_action::{ClusterSpecifier, HostRewriteSpecifier},
        weighted_cluster::{ClusterWeight, cluster_weight},
    },
    extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate,
    r#type::matcher::v3::RegexMatchAndSubstitute,
};

use super::headers;
use crate::compile::{
    destination::{Target, target, weighted},
    hashing,
    message::{duration, inline, regex, zero},
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{Body, HttpAction, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute, RedirectPort, TrafficPolicy, WeightedDestination};

/// What is retried where the user does not say: requests of which the server can't have begun the work.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// How often it is retried then.
const RETRIES: u32 = 2;
/// How often another endpoint is looked for that the request has not met yet.
const OTHER_HOSTS: i64 = 5;
/// The condition that refers to a list of status codes.
const STATUS_CODES: &str = "retriable-status-codes";

/// Gives a route its action. Returns the `host:port` to which it leads, if it is one.
pub(super) fn act(scope: &Scope<'_>, route: &mut Route, http: &HttpRoute, caller: Caller<'_>) -> Option<String> {
    match &http.action {
        HttpAction::Forward(destinations) => return forward(scope, route, http, destinations, caller),
        HttpAction::Redirect(to) => route.action = Some(route::Action::Redirect(redirect(to))),
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
pub(super) fn to_service(cluster: &str, policy: &TrafficPolicy) -> route::Action {
    route::Action::Route(RouteAction {
        timeout: Some(zero()),
        retry_policy: retry_policy(None),
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
        retry_policy: retry_policy(http.retry.as_ref()),
        ..RouteAction::default()
    };
    let mut authority = headers::authority(&http.headers).map(str::to_owned);
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
            headers::add_to_route(route, &only.headers);
            authority = headers::authority(&only.headers).map(str::to_owned).or(authority);
            leads_to = Some(target.authority.clone());
            ClusterSpecifier::Cluster(target.cluster.clone())
        }
        (several, targets) => {
            let clusters = several.iter().zip(targets).map(|(it, target)| cluster_weight(it, target)).collect();
            ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..WeightedCluster::default() })
        }
    });
    action.host_rewrite_specifier = authority.map(HostRewriteSpecifier::HostRewriteLiteral);
    route.action = Some(route::Action::Route(action));
    leads_to
}

fn cluster_weight(to: &WeightedDestination, target: &Target) -> ClusterWeight {
    let authority = headers::authority(&to.headers).map(str::to_owned);
    let mut destination = ClusterWeight {
        name: target.cluster.clone(),
        weight: Some(to.weight),
        host_rewrite_specifier: authority.map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral),
        ..ClusterWeight::default()
    };
    headers::add_to_destination(&mut destination, &to.headers);
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

fn redirect(to: &HttpRedirect) -> RedirectAction {
    let code = match to.code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    RedirectAction {
        host_redirect: to.authority.as_deref().unwrap_or_default().to_owned(),
        port_redirect: match to.port {
            Some(RedirectPort::Number(port)) => port.into(),
            Some(RedirectPort::OfScheme | RedirectPort::OfRequest) | None => 0,
        },
        response_code: code.into(),
        scheme_rewrite_specifier: to.scheme.as_deref().map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_owned())),
        path_rewrite_specifier: to.uri.as_deref().map(|uri| PathRewriteSpecifier::PathRedirect(uri.to_owned())),
        ..RedirectAction::default()
    }
}

/// What is retried, how often; `None` for nothing. Each retry goes to an endpoint that the request has not met, if there is one.
fn retry_policy(retry: Option<&HttpRetry>) -> Option<RetryPolicy> {
    let attempts = retry.map_or(RETRIES, |retry| retry.attempts);
    if attempts == 0 {
        return None;
    }
    let asked = retry.map(|retry| &*retry.retry_on).filter(|text| !text.is_empty()).unwrap_or(RETRY_ON);
    let (retry_on, retriable_status_codes) = conditions(asked);
    let predicate = retry_host_predicate::ConfigType::TypedConfig(envoy_api::any(&PreviousHostsPredicate {}));
    Some(RetryPolicy {
        retry_on,
        retriable_status_codes,
        num_retries: Some(attempts),
        per_try_timeout: retry.and_then(|retry| retry.per_try_timeout).map(duration),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(predicate),
        }],
        host_selection_retry_max_attempts: OTHER_HOSTS,
        ..RetryPolicy::default()
    })
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
