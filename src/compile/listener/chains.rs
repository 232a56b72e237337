//! The filter chains of a listener for opaque connections.

use std::collections::BTreeSet;

use envoy_api::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};

use super::{chain, tcp::Way, tls_inspector};
use crate::compile::{
    message::{duration, range},
    tls::HANDSHAKE_TIMEOUT,
};

/// Chains, of which the first that was added takes a connection for which several would do. Envoy refuses a listener whose chains
/// overlap, so what an earlier chain has claimed is taken out of the conditions of later ones.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// Ranges and server names; an empty text stands for all.
    claimed: BTreeSet<(String, String)>,
    chains: Vec<FilterChain>,
    default: Option<FilterChain>,
}

impl Chains {
    /// Adds a chain for a way, as far as nothing was added for its conditions.
    pub(super) fn add(&mut self, name: &str, mut way: Way) {
        if way.ranges.is_empty() && way.server_names.is_empty() {
            self.default.get_or_insert_with(|| of_way(name, way).1);
            return;
        }
        let taken = |range: String, name: &str| self.claimed.contains(&(range, name.to_owned()));
        if way.server_names.is_empty() {
            way.ranges.retain(|range| !taken(range.to_string(), ""));
        } else {
            let ranges = texts(&way);
            way.server_names.retain(|name| !ranges.iter().any(|range| taken(range.clone(), name)));
        }
        if way.ranges.is_empty() && way.server_names.is_empty() {
            return;
        }
        let names = if way.server_names.is_empty() { vec![String::new()] } else { way.server_names.clone() };
        for range in texts(&way) {
            self.claimed.extend(names.iter().map(|name| (range.clone(), name.clone())));
        }
        let (condition, chain) = of_way(name, way);
        self.chains.push(FilterChain { filter_chain_match: Some(condition), ..chain });
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.default.is_none()
    }

    /// Gives a listener the chains, and the inspector that they need: it waits for the client's first bytes.
    pub(super) fn put_into(self, listener: &mut Listener) {
        let by_name = |chain: &FilterChain| chain.filter_chain_match.as_ref().is_some_and(|it| !it.server_names.is_empty());
        if self.chains.iter().any(by_name) {
            listener.listener_filters.push(tls_inspector());
        }
        listener.filter_chains.extend(self.chains);
        listener.default_filter_chain = self.default;
    }
}

/// A way's condition, and its chain without one.
fn of_way(name: &str, way: Way) -> (FilterChainMatch, FilterChain) {
    let condition = FilterChainMatch {
        prefix_ranges: way.ranges.iter().map(range).collect(),
        server_names: way.server_names,
        application_protocols: way.protocols.iter().map(|name| (*name).to_owned()).collect(),
        ..FilterChainMatch::default()
    };
    let timeout = way.socket.is_some().then(|| duration(HANDSHAKE_TIMEOUT));
    let chain = FilterChain {
        transport_socket: way.socket,
        transport_socket_connect_timeout: timeout,
        metadata: way.origin,
        ..chain(name, way.filters)
    };
    (condition, chain)
}

fn texts(way: &Way) -> Vec<String> {
    if way.ranges.is_empty() { vec![String::new()] } else { way.ranges.iter().map(ToString::to_string).collect() }
}
