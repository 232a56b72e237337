//! Listeners: what the proxy accepts, and what becomes of it.

mod access_log;
mod chains;
mod gateway;
mod http;
mod inbound;
mod outbound;
mod tcp;

use std::net::{IpAddr, Ipv4Addr};

use envoy_api::envoy::{
    config::core::v3::TrafficDirection,
    config::listener::v3::{
        AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
        listener::{
            ConnectionBalanceConfig,
            connection_balance_config::{BalanceType, ExactBalance},
        },
    },
    extensions::filters::listener::{
        http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst, original_src::v3::OriginalSrc, tls_inspector::v3::TlsInspector,
    },
};

use super::{
    message::{duration, listener_filter, socket_address, zero},
    naming::{INBOUND_PORT, OUTBOUND_PORT, VIRTUAL_OUTBOUND},
    scope::Scope,
};
use crate::model::{TRANSPARENT_MARK, parse_duration};

pub(super) use gateway::gateway;
pub(super) use http::{CORS_FILTER, FAULT_FILTER, MANAGER, filter, rds, router};
pub(super) use inbound::{ingress, virtual_inbound};
pub(super) use outbound::{has_sniffed_routes, of_address, of_port, of_socket, outbound_recipes, takes_plain_http, virtual_outbound};

/// All addresses.
const ANY: &str = "0.0.0.0";
/// The same in IPv6.
const ANY_V6: &str = "::";
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// What the HTTP inspector finds in plain text that is HTTP.
const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];
/// The transport protocols that filter chains tell apart.
const PLAIN: &str = "raw_buffer";
const TLS: &str = "tls";

/// Ports on which Envoy listens beside what is compiled: nothing else may claim them on all addresses.
const RESERVED: [u16; 4] = [OUTBOUND_PORT, INBOUND_PORT, 15021, 15090];

/// A listener without chains. Inspectors wait for the first bytes as long as it takes, unless the mesh's settings limit that: a limit
/// makes what a connection is a matter of how fast its client is.
fn empty(scope: &Scope<'_>, name: &str, address: &str, port: u16, direction: TrafficDirection) -> Listener {
    Listener {
        name: name.to_owned(),
        address: Some(socket_address(address, port)),
        // All addresses are those of both families.
        additional_addresses: (address == ANY && port != 0 && scope.has_ipv6()).then(|| also_at(ANY_V6, port)).into_iter().collect(),
        listener_filters_timeout: Some(parse_duration(&scope.settings().protocol_detection_timeout).map_or(zero(), duration)),
        continue_on_listener_filters_timeout: true,
        traffic_direction: direction.into(),
        access_log: access_log::unmatched_logs(scope),
        connection_balance_config: exact_balance(scope, name, direction),
        ..Listener::default()
    }
}

/// That connections are dealt out evenly to Envoy's threads, where the proxy's metadata ask for it. What arrives at the listener for all
/// that the application calls is handed on to others before anybody serves it, so that nothing is gained there.
fn exact_balance(scope: &Scope<'_>, name: &str, direction: TrafficDirection) -> Option<ConnectionBalanceConfig> {
    let switch = match direction {
        _ if name == VIRTUAL_OUTBOUND => return None,
        TrafficDirection::Inbound => "INBOUND_LISTENER_EXACT_BALANCE",
        _ => "OUTBOUND_LISTENER_EXACT_BALANCE",
    };
    let asked = scope.metadata(switch).is_some_and(|text| text.eq_ignore_ascii_case("true") || &*text == "1");
    asked.then_some(ConnectionBalanceConfig { balance_type: Some(BalanceType::ExactBalance(ExactBalance {})) })
}

fn also_at(address: &str, port: u16) -> AdditionalAddress {
    AdditionalAddress { address: Some(socket_address(address, port)), ..AdditionalAddress::default() }
}

/// A chain that takes everything that no other takes.
fn chain(name: &str, filters: Vec<Filter>) -> FilterChain {
    FilterChain { name: name.to_owned(), filters, ..FilterChain::default() }
}

/// The condition of a chain for HTTP in plain text.
fn plain_http() -> FilterChainMatch {
    FilterChainMatch {
        transport_protocol: PLAIN.to_owned(),
        application_protocols: PLAIN_HTTP.map(str::to_owned).to_vec(),
        ..FilterChainMatch::default()
    }
}

fn tls_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", &TlsInspector::default())
}

fn http_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", &HttpInspector {})
}

/// Connections to the application come from who called the proxy, and carry the mark by which the pod's rules know them.
fn original_source() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_src", &OriginalSrc { mark: TRANSPARENT_MARK, ..OriginalSrc::default() })
}

fn original_destination() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_dst", &OriginalDst {})
}
