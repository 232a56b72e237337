//! From a route to what becomes of the request: the filters before the router, then the route's own action.

use envoy_api::envoy::{
    config::route::v3::{
        Route, RouteAction, VirtualHost, route::Action, route_action::ClusterSpecifier, route_action::HostRewriteSpecifier,
    },
    extensions::filters::{
        common::fault::v3::fault_delay::FaultDelaySecifier,
        http::{
            cors::v3::CorsPolicy,
            fault::v3::{HttpFault, fault_abort::ErrorType},
        },
        network::http_connection_manager::v3::HttpConnectionManager,
    },
    r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
};
use prost::{Message, Name};
use std::time::Duration;

use super::{
    Configuration, Origin, Outcome, Possibility, Step,
    cluster::{self, Reach},
    decision::Trace,
    http::Arrival,
    matching, redirect, token,
};

const FAULT: &str = "envoy.filters.http.fault";
const CORS: &str = "envoy.filters.http.cors";
const ROUTER: &str = "envoy.filters.http.router";
/// Filters that change no destination and no status, or whose decision has been told.
const HARMLESS: [&str; 4] = ["envoy.filters.http.grpc_stats", "istio.alpn", "envoy.filters.http.set_filter_state", token::FILTER];

/// A route that was chosen.
pub(super) struct Taken<'t> {
    pub(super) host: &'t VirtualHost,
    pub(super) route: &'t Route,
    pub(super) origins: Vec<Origin>,
}

/// What becomes of a request by the route that it took.
pub(super) fn acted(
    configuration: &Configuration,
    manager: &HttpConnectionManager,
    taken: &Taken<'_>,
    arrival: &Arrival<'_>,
    trace: &mut Trace,
) -> Vec<Possibility> {
    let mut possibilities = Vec::new();
    let mut left = 1.0;
    let mut delay = None;
    for filter in manager.http_filters.iter().filter(|filter| !filter.disabled) {
        match filter.name.as_str() {
            FAULT => {
                let Some(fault) = taken.config::<HttpFault>(FAULT).filter(|fault| applies(fault, arrival)) else { continue };
                delay = pause(&fault, taken, trace);
                if let Some((share, possibility)) = aborted(&fault, taken, trace) {
                    possibilities.push(possibility.scaled(share * left));
                    left *= 1.0 - share;
                }
            }
            CORS => {
                if let Some(answer) = taken.config::<CorsPolicy>(CORS).and_then(|policy| preflight(&policy, taken, arrival)) {
                    possibilities.push(answer.scaled(left));
                    left = 0.0;
                }
            }
            ROUTER => {
                possibilities.extend(by_route(configuration, taken, arrival, trace).into_iter().map(|it| it.scaled(left)));
                break;
            }
            name if HARMLESS.contains(&name) => {}
            name => trace.note(format!("filter {name} may decide otherwise: what it does is not known here")),
        }
        if left <= 0.0 {
            break;
        }
    }
    possibilities.retain(|possibility| possibility.share > 0.0);
    possibilities.iter_mut().for_each(|possibility| possibility.delay = delay);
    possibilities
}

impl Taken<'_> {
    /// What the route, or else its virtual host, tells a filter.
    fn config<M: Message + Name + Default>(&self, filter: &str) -> Option<M> {
        let own = self.route.typed_per_filter_config.get(filter).or_else(|| self.host.typed_per_filter_config.get(filter));
        envoy_api::unpack(own?).ok()
    }

    /// The route's objects, with a part of their field.
    fn within(&self, part: &str) -> Vec<Origin> {
        self.origins.iter().map(|origin| origin.rule().within(part)).collect()
    }
}

/// Whether a fault is for a request.
fn applies(fault: &HttpFault, arrival: &Arrival<'_>) -> bool {
    fault.headers.iter().all(|it| matching::header(it, arrival.http, arrival.request.transport.scheme()))
}

fn pause(fault: &HttpFault, taken: &Taken<'_>, trace: &mut Trace) -> Option<Duration> {
    let delay = fault.delay.as_ref()?;
    let Some(FaultDelaySecifier::FixedDelay(pause)) = &delay.fault_delay_secifier else { return None };
    let pause = Duration::try_from(*pause).ok()?;
    let share = share(delay.percentage.as_ref());
    let told = format!("{} of requests wait for {} s first", shown(share), pause.as_secs_f64());
    trace.decided(Step::Filter, FAULT, told, taken.within("fault.delay"));
    (share >= 1.0).then_some(pause)
}

fn aborted(fault: &HttpFault, taken: &Taken<'_>, trace: &mut Trace) -> Option<(f64, Possibility)> {
    let abort = fault.abort.as_ref()?;
    let (status, shown_as) = match &abort.error_type {
        Some(ErrorType::HttpStatus(status)) => (u16::try_from(*status).ok()?, status.to_string()),
        // Of gRPC, the status stands in a trailer.
        Some(ErrorType::GrpcStatus(status)) => (200, format!("gRPC status {status}")),
        Some(ErrorType::HeaderAbort(_)) | None => return None,
    };
    let share = share(abort.percentage.as_ref());
    let origins = taken.within("fault.abort");
    trace.decided(Step::Filter, FAULT, format!("{} of requests are answered with {shown_as}", shown(share)), origins.clone());
    Some((share, Possibility::answer(status, "the route injects it", origins)))
}

/// The answer to a browser's question, if the proxy answers it.
fn preflight(policy: &CorsPolicy, taken: &Taken<'_>, arrival: &Arrival<'_>) -> Option<Possibility> {
    let header = |name| arrival.http.header(name, arrival.request.transport.scheme());
    let enabled = policy.filter_enabled.as_ref().is_none_or(|it| share(it.default_value.as_ref()) > 0.0);
    let origin = header("origin").filter(|_| enabled && arrival.http.method == "OPTIONS")?;
    header("access-control-request-method")?;
    let allowed = policy.allow_origin_string_match.iter().any(|it| matching::text(it, &origin));
    if !allowed && policy.forward_not_matching_preflights.unwrap_or(true) {
        return None;
    }
    let told = format!("it is a preflight of {origin}, which is {}", if allowed { "allowed" } else { "not allowed" });
    Some(Possibility::answer(200, told, taken.within("corsPolicy")))
}

fn by_route(configuration: &Configuration, taken: &Taken<'_>, arrival: &Arrival<'_>, trace: &mut Trace) -> Vec<Possibility> {
    match &taken.route.action {
        Some(Action::Route(action)) => forwarded(configuration, taken, action, arrival, trace),
        Some(Action::Redirect(to)) => {
            let (status, location) = redirect::answer(to, taken.route, arrival);
            let outcome = Outcome::Answered { status, location: Some(location) };
            vec![Possibility::certain(outcome, "the route redirects", taken.within("redirect"))]
        }
        Some(Action::DirectResponse(answer)) => {
            let origins = if taken.host.name == "block_all" { taken.origins.clone() } else { taken.within("directResponse") };
            let because = if taken.host.name == "block_all" { "nobody declared the host" } else { "the route answers itself" };
            vec![Possibility::answer(u16::try_from(answer.status).unwrap_or(0), because, origins)]
        }
        Some(Action::FilterAction(_) | Action::NonForwardingAction(_)) | None => {
            vec![Possibility::answer(404, "the route says nothing", taken.origins.clone())]
        }
    }
}

fn forwarded(
    configuration: &Configuration,
    taken: &Taken<'_>,
    action: &RouteAction,
    arrival: &Arrival<'_>,
    trace: &mut Trace,
) -> Vec<Possibility> {
    tell_rewrite(taken, action, trace);
    tell_tries(taken, action, trace);
    let shares = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => vec![(name.clone(), 1.0)],
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            cluster::shares(weighted.clusters.iter().map(|it| (it.name.clone(), it.weight.unwrap_or(0))))
        }
        _ => {
            trace.note("the route takes its cluster from the request, which is not known here".to_owned());
            return Vec::new();
        }
    };
    let several = shares.len() > 1;
    let reach = Reach { configuration, address: arrival.request.address, port: arrival.request.port, opaque: false };
    let to = |(place, (name, share)): (usize, (String, f64))| {
        let origins = if several { taken.within(&format!("route[{place}]")) } else { taken.origins.clone() };
        reach.to(&name, origins, trace).scaled(share)
    };
    shares.into_iter().enumerate().map(to).collect()
}

fn tell_rewrite(taken: &Taken<'_>, action: &RouteAction, trace: &mut Trace) {
    let mut changes = Vec::new();
    if !action.prefix_rewrite.is_empty() {
        changes.push(format!("the matched part of the path becomes {}", action.prefix_rewrite));
    }
    if let Some(rewrite) = &action.regex_rewrite {
        let pattern = rewrite.pattern.as_ref().map(|pattern| pattern.regex.as_str()).unwrap_or_default();
        changes.push(format!("what is like {pattern} in the path becomes {}", rewrite.substitution));
    }
    if let Some(HostRewriteSpecifier::HostRewriteLiteral(host)) = &action.host_rewrite_specifier {
        changes.push(format!("the host becomes {host}"));
    }
    if !changes.is_empty() {
        trace.decided(Step::Rewrite, "", changes.join(", "), taken.within("rewrite"));
    }
}

/// How long the request may take, and what is tried again.
fn tell_tries(taken: &Taken<'_>, action: &RouteAction, trace: &mut Trace) {
    let positive =
        |time: Option<&prost_types::Duration>| time.and_then(|time| Duration::try_from(*time).ok()).filter(|time| !time.is_zero());
    let shown = |time: Duration| format!("{} s", time.as_secs_f64());
    if let Some(limit) = positive(action.timeout.as_ref()) {
        trace.decided(Step::Tries, "", format!("504 unless it is answered within {}", shown(limit)), taken.within("timeout"));
    }
    let Some(policy) = &action.retry_policy else { return };
    let times = policy.num_retries.unwrap_or(1);
    let of_each = positive(policy.per_try_timeout.as_ref()).map(|limit| format!(", each within {}", shown(limit))).unwrap_or_default();
    let codes: Vec<String> = policy.retriable_status_codes.iter().map(ToString::to_string).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    let told = format!("up to {times} more{of_each}, on {}{codes}", policy.retry_on);
    // Of what field, if any, can't be told: without one it is the mesh's own policy.
    trace.decided(Step::Tries, "", told, taken.origins.iter().map(Origin::rule).collect());
}

/// A fraction as a number from 0 to 1; none is 0.
fn share(percentage: Option<&FractionalPercent>) -> f64 {
    let Some(percentage) = percentage else { return 0.0 };
    let whole = match percentage.denominator() {
        DenominatorType::Hundred => 100.0,
        DenominatorType::TenThousand => 10_000.0,
        DenominatorType::Million => 1_000_000.0,
    };
    (f64::from(percentage.numerator) / whole).min(1.0)
}

/// A share for people.
fn shown(share: f64) -> String {
    format!("{} %", (share * 1_000_000.0).round() / 10_000.0)
}
