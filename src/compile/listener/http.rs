//! The filter that speaks HTTP with whoever connected.

use envoy_api::envoy::{
    config::listener::v3::Filter,
    extensions::filters::{
        http::{cors::v3::Cors, fault::v3::HttpFault, router::v3::Router},
        network::http_connection_manager::v3::{
            HttpConnectionManager, HttpFilter, Rds,
            http_connection_manager::{
                ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
                SetCurrentClientCertDetails, UpgradeConfig,
            },
            http_filter,
        },
    },
};

use prost::{Message, Name};

use super::access_log::access_logs;
use crate::compile::{
    message::{ads, network_filter, zero},
    name_lookup, retriable,
    scope::Scope,
    tokens,
};
use crate::model::NormalizationType;

/// The filter that injects the faults of routes.
pub(in crate::compile) const FAULT_FILTER: &str = "envoy.filters.http.fault";
/// The filter that answers browsers' preflights, and tells them what routes allow.
pub(in crate::compile) const CORS_FILTER: &str = "envoy.filters.http.cors";
/// The filter that speaks HTTP.
pub(in crate::compile) const MANAGER: &str = "envoy.filters.network.http_connection_manager";
/// What gateways call themselves in the header `server`.
const SERVER_NAME: &str = "istio-envoy";

/// Who sends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The proxy's own application, which called that port.
    Application(u16),
    /// A caller in plain text, who proved nothing.
    Anyone,
    /// A caller who proved an identity of the mesh.
    Peer,
    /// A gateway's clients.
    Outside,
}

/// Routes that come by RDS.
pub(in crate::compile) fn rds(name: String) -> RouteSpecifier {
    RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: name })
}

/// The connection manager for a sender's requests. `place` is the listener's name with its direction, which statistics begin with.
pub(super) fn manager(scope: &Scope<'_>, sender: Sender, place: &str, routes: RouteSpecifier) -> Filter {
    let normalization = scope.settings().path_normalization.normalization;
    let mut manager = HttpConnectionManager {
        stat_prefix: format!("{place};"),
        http_filters: filters(scope, sender),
        // Streams may be silent as long as they like: what is too long is the route's to say.
        stream_idle_timeout: Some(zero()),
        access_log: access_logs(scope),
        use_remote_address: Some(sender == Sender::Outside),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..UpgradeConfig::default() }],
        normalize_path: Some(normalization != NormalizationType::None),
        merge_slashes: normalization >= NormalizationType::MergeSlashes,
        route_specifier: Some(routes),
        ..HttpConnectionManager::default()
    };
    if normalization == NormalizationType::DecodeAndMergeSlashes {
        manager.path_with_escaped_slashes_action = PathWithEscapedSlashesAction::UnescapeAndForward.into();
    }
    // A caller's identity is what its certificate says. Nobody may write it into the header himself, so what comes is always dropped.
    let certificate = match sender {
        Sender::Application(_) | Sender::Anyone => ForwardClientCertDetails::Sanitize,
        Sender::Peer | Sender::Outside => ForwardClientCertDetails::SanitizeSet,
    };
    manager.forward_client_cert_details = certificate.into();
    if certificate == ForwardClientCertDetails::SanitizeSet {
        let details = SetCurrentClientCertDetails { subject: Some(true), uri: true, dns: true, ..SetCurrentClientCertDetails::default() };
        manager.set_current_client_cert_details = Some(details);
    }
    match sender {
        Sender::Application(_) => {}
        Sender::Anyone | Sender::Peer => {
            manager.server_header_transformation = ServerHeaderTransformation::PassThrough.into();
            manager.local_reply_config = Some(retriable::replies());
        }
        Sender::Outside => manager.server_name = SERVER_NAME.to_owned(),
    }
    manager.proxy_100_continue = sender != Sender::Outside;
    network_filter(MANAGER, &manager)
}

/// The filters, in the order in which requests pass them. Only routes of who sends requests out know faults and
/// other origins.
fn filters(scope: &Scope<'_>, sender: Sender) -> Vec<HttpFilter> {
    // Before all others: routes, faults among them, may depend on what a token says.
    let checked = !matches!(sender, Sender::Application(_));
    let tokens = checked.then(|| tokens::filter(scope, sender == Sender::Outside)).flatten();
    let mut filters: Vec<HttpFilter> = tokens.into_iter().map(|it| filter(tokens::TOKEN_FILTER, &it)).collect();
    if matches!(sender, Sender::Application(_) | Sender::Outside) {
        filters.extend([filter(FAULT_FILTER, &HttpFault::default()), filter(CORS_FILTER, &Cors {})]);
    }
    let looks_names_up = match sender {
        Sender::Application(port) => scope.looks_names_up(Some(port)),
        Sender::Outside => scope.looks_names_up(None),
        Sender::Anyone | Sender::Peer => false,
    };
    filters.extend(looks_names_up.then(|| name_lookup::of_requests(scope)));
    filters.push(router());
    filters
}

/// The filter that sends requests on, the last of all.
pub(in crate::compile) fn router() -> HttpFilter {
    filter("envoy.filters.http.router", &Router::default())
}

/// A filter of requests.
pub(in crate::compile) fn filter<M: Message + Name>(name: &str, config: &M) -> HttpFilter {
    let config_type = Some(http_filter::ConfigType::TypedConfig(envoy_api::any(config)));
    HttpFilter { name: name.to_owned(), config_type, ..HttpFilter::default() }
}
