//! From a request to its route.

use envoy_api::envoy::{
    config::route::v3::{Route, RouteConfiguration, RouteMatch, VirtualHost, route_match::PathSpecifier, virtual_host::TlsRequirementType},
    extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
};

use super::{
    Configuration, HttpRequest, Origin, Outcome, Possibility, Request, Step, action,
    decision::Trace,
    host, matching, origin, path, redirect,
    token::{self, Claims},
};
use crate::model::ObjectRef;

/// A request at the proxy that handles it.
pub(super) struct Arrival<'r> {
    pub(super) request: &'r Request,
    pub(super) http: &'r HttpRequest,
    /// The objects that have the tokens of requests checked.
    pub(super) checkers: &'r [Origin],
}

/// A route table with what surrounds it.
struct Routing<'a> {
    configuration: &'a Configuration,
    manager: &'a HttpConnectionManager,
    table: &'a RouteConfiguration,
    /// The objects that shaped the table; none for one within a listener.
    sources: &'a [ObjectRef],
    arrival: &'a Arrival<'a>,
    /// What the request's token says.
    claims: Claims,
}

/// What becomes of a request that a connection manager got.
pub(super) fn handled(
    configuration: &Configuration,
    manager: &HttpConnectionManager,
    arrival: &Arrival<'_>,
    trace: &mut Trace,
) -> Vec<Possibility> {
    let http = path::normalized(manager, arrival.http, trace);
    let arrival = &Arrival { http: &http, ..*arrival };
    let mut sources: &[ObjectRef] = &[];
    let table = match &manager.route_specifier {
        Some(RouteSpecifier::RouteConfig(table)) => table,
        Some(RouteSpecifier::Rds(rds)) => match configuration.tables.get(&*rds.route_config_name) {
            Some(known) => {
                sources = &known.sources;
                &known.message
            }
            None => {
                let told = format!("there is no route table {}, so that the listener waits for it", rds.route_config_name);
                return vec![Possibility::closed(told, Vec::new())];
            }
        },
        Some(RouteSpecifier::ScopedRoutes(_)) | None => {
            trace.note("scoped routes are not known here".to_owned());
            return Vec::new();
        }
    };
    let claims = match token::checked(manager, arrival, arrival.checkers, trace) {
        Ok(claims) => claims,
        Err(refusal) => return vec![*refusal],
    };
    trace.decided(Step::RouteTable, &table.name, "the filter chain names it", Vec::new());
    Routing { configuration, manager, table, sources, arrival, claims }.routed(trace)
}

// === impl Routing ===

impl Routing<'_> {
    fn routed(&self, trace: &mut Trace) -> Vec<Possibility> {
        let (request, http) = (self.arrival.request, self.arrival.http);
        let authority = &http.authority;
        let gateways = || origin::of_kinds(self.sources, &["Gateway"]);
        let Some((host, domain)) = host::choose(self.table, authority) else {
            return vec![Possibility::answer(404, format!("no virtual host is for {authority}"), gateways())];
        };
        trace.decided(Step::VirtualHost, &host.name, format!("{authority} is {domain}"), declared_by(host, self.sources));
        if host.require_tls == i32::from(TlsRequirementType::All) && !request.transport.is_tls() {
            let outcome = Outcome::Answered { status: 301, location: Some(redirect::to_https(http)) };
            let origins = gateways().into_iter().map(|it| Origin { field: Some("spec.servers[].tls.httpsRedirect".to_owned()), ..it });
            return vec![Possibility::certain(outcome, "the virtual host asks for TLS", origins.collect())];
        }
        let scheme = request.transport.scheme();
        for (passed, route) in host.routes.iter().enumerate() {
            if let Some(because) = fits(route.r#match.as_ref(), http, &self.claims, scheme, trace) {
                return self.taken(host, route, &format!("{because}{}", told_passed(passed)), trace);
            }
        }
        let virtual_services = || origin::of_kinds(self.sources, &["VirtualService"]);
        let origins = if host.routes.is_empty() { gateways() } else { of_routes(host).unwrap_or_else(virtual_services) };
        vec![Possibility::answer(404, format!("none of the {} routes of {} matches", host.routes.len(), host.name), origins)]
    }

    fn taken(&self, host: &VirtualHost, route: &Route, because: &str, trace: &mut Trace) -> Vec<Possibility> {
        let mut origins = origin::of_metadata(route.metadata.as_ref());
        if origins.is_empty() {
            origins = declared_by(host, self.sources);
        }
        trace.decided(Step::Route, &route.name, because, origins.clone());
        action::acted(self.configuration, self.manager, &action::Taken { host, route, origins }, self.arrival, trace)
    }
}

/// How many routes did not match before the one that did.
fn told_passed(passed: usize) -> String {
    match passed {
        0 => String::new(),
        1 => "; 1 before it does not match".to_owned(),
        several => format!("; {several} before it do not match"),
    }
}

/// The objects behind a virtual host's routes.
fn of_routes(host: &VirtualHost) -> Option<Vec<Origin>> {
    let mut origins: Vec<Origin> = host.routes.iter().flat_map(|route| origin::of_metadata(route.metadata.as_ref())).collect();
    origins.iter_mut().for_each(|origin| origin.field = None);
    origins.sort();
    origins.dedup();
    (!origins.is_empty()).then_some(origins)
}

/// The service of a virtual host, which is `HOST:PORT`; else the policy on what nobody declared.
fn declared_by(host: &VirtualHost, sources: &[ObjectRef]) -> Vec<Origin> {
    if matches!(host.name.as_str(), "allow_any" | "block_all") {
        let policy = |it: Origin| Origin { field: Some("spec.outboundTrafficPolicy.mode".to_owned()), ..it };
        return origin::of_kinds(sources, &["Sidecar"]).into_iter().map(policy).collect();
    }
    let name = host::without_port(&host.name);
    let entry_of = |it: &&ObjectRef| match it.kind {
        "Service" => name.strip_prefix(&format!("{}.{}.", it.name, it.namespace)).is_some_and(|rest| rest.starts_with("svc.")),
        _ => false,
    };
    sources.iter().filter(entry_of).map(Origin::of).collect()
}

/// Why a route's conditions hold, if they do.
fn fits(condition: Option<&RouteMatch>, request: &HttpRequest, claims: &Claims, scheme: &str, trace: &mut Trace) -> Option<String> {
    let condition = condition?;
    let path = request.bare_path();
    let fold = |text: &str| if condition.case_sensitive == Some(false) { text.to_ascii_lowercase() } else { text.to_owned() };
    let (holds, mut because) = match &condition.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => (fold(path).starts_with(&fold(prefix)), format!("path begins with {prefix}")),
        Some(PathSpecifier::Path(whole)) => (fold(path) == fold(whole), format!("path is {whole}")),
        Some(PathSpecifier::SafeRegex(expression)) => {
            (matching::whole(&expression.regex, path), format!("path is like {}", expression.regex))
        }
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let rest = fold(path).strip_prefix(&fold(prefix)).map(str::to_owned);
            (rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')), format!("path is below {prefix}"))
        }
        Some(PathSpecifier::ConnectMatcher(_)) => (request.method == "CONNECT", "method is CONNECT".to_owned()),
        Some(PathSpecifier::PathMatchPolicy(policy)) => {
            trace.note(format!("a route whose path is matched by {} is passed over: what it does is not known here", policy.name));
            (false, String::new())
        }
        None => (false, String::new()),
    };
    let others = condition.headers.iter().all(|it| matching::header(it, request, scheme))
        && condition.query_parameters.iter().all(|it| matching::query(it, request));
    let claimed: Vec<Option<bool>> = condition.dynamic_metadata.iter().map(|it| token::fulfils(it, claims)).collect();
    let others = others && !claimed.contains(&Some(false));
    let fractional = condition.runtime_fraction.is_some() || claimed.contains(&None) || !condition.filter_state.is_empty();
    if holds && others && fractional {
        trace.note("a route that depends on more than the request is passed over: what decides it is not known here".to_owned());
    }
    if !holds || !others || fractional {
        return None;
    }
    let names = condition.headers.iter().map(|it| it.name.as_str()).chain(condition.query_parameters.iter().map(|it| it.name.as_str()));
    let names: Vec<&str> = names.collect();
    let names: Vec<&str> = names.into_iter().chain((!claimed.is_empty()).then_some("the token's claims")).collect();
    if !names.is_empty() {
        because.push_str(&format!(", and {} as asked for", names.join(", ")));
    }
    Some(because)
}
