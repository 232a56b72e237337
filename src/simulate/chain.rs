//! Which of a listener's filter chains takes a connection.

use std::net::IpAddr;

use envoy_api::envoy::config::{
    core::v3::CidrRange,
    listener::v3::{
        FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
        listener_filter_chain_match_predicate::Rule,
    },
};

use super::{Request, Transport};

/// What a listener knows of a connection when it chooses.
#[derive(Debug, PartialEq)]
pub(super) struct Connection {
    address: Option<IpAddr>,
    port: u16,
    transport: &'static str,
    server_name: String,
    protocols: Vec<String>,
}

const TLS: &str = "tls";
const PLAIN: &str = "raw_buffer";

impl Connection {
    /// What the listener's inspectors find.
    pub(super) fn seen_by(listener: &Listener, request: &Request) -> Self {
        let inspects =
            |name: &str| listener.listener_filters.iter().any(|filter| filter.name.ends_with(name) && acts(filter, request.port));
        let reads_tls = inspects("tls_inspector") && request.transport.is_tls();
        let protocols = match &request.transport {
            Transport::Mesh { protocols } if reads_tls => protocols.clone(),
            Transport::Tls { .. } if reads_tls => vec!["h2".to_owned(), "http/1.1".to_owned()],
            Transport::Plain if inspects("http_inspector") && request.http.is_some() => vec!["http/1.1".to_owned()],
            _ => Vec::new(),
        };
        Self {
            address: request.address,
            port: request.port,
            transport: if reads_tls { TLS } else { PLAIN },
            server_name: if reads_tls { request.transport.server_name().to_ascii_lowercase() } else { String::new() },
            protocols,
        }
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let mut shown = if self.transport == TLS { "TLS".to_owned() } else { "plain text".to_owned() };
        if !self.server_name.is_empty() {
            shown.push_str(&format!(" for {}", self.server_name));
        }
        if !self.protocols.is_empty() {
            shown.push_str(&format!(" that speaks {}", self.protocols.join(", ")));
        }
        shown
    }
}

/// Whether a listener filter looks at connections to a port.
fn acts(filter: &ListenerFilter, port: u16) -> bool {
    !filter.filter_disabled.as_ref().is_some_and(|predicate| holds(predicate, port))
}

fn holds(predicate: &ListenerFilterChainMatchPredicate, port: u16) -> bool {
    match &predicate.rule {
        Some(Rule::AnyMatch(any)) => *any,
        Some(Rule::DestinationPortRange(range)) => (range.start..range.end).contains(&i32::from(port)),
        Some(Rule::NotMatch(inner)) => !holds(inner, port),
        Some(Rule::OrMatch(set)) => set.rules.iter().any(|rule| holds(rule, port)),
        Some(Rule::AndMatch(set)) => set.rules.iter().all(|rule| holds(rule, port)),
        None => false,
    }
}

/// The chain that takes a connection. Envoy goes through the conditions one after the other and at each keeps the chains that fit
/// most narrowly; it never comes back to those that it dropped.
pub(super) fn choose<'l>(listener: &'l Listener, connection: &Connection) -> Option<&'l FilterChain> {
    let stages: [fn(&FilterChainMatch, &Connection) -> Option<usize>; 5] = [by_port, by_address, by_server_name, by_transport, by_protocol];
    let none = FilterChainMatch::default();
    let mut left: Vec<&FilterChain> = listener.filter_chains.iter().collect();
    for stage in stages {
        let fits: Vec<(usize, &FilterChain)> = left
            .into_iter()
            .filter_map(|chain| Some((stage(chain.filter_chain_match.as_ref().unwrap_or(&none), connection)?, chain)))
            .collect();
        let Some(narrowest) = fits.iter().map(|(narrowness, _)| *narrowness).max() else {
            return listener.default_filter_chain.as_ref();
        };
        left = fits.into_iter().filter(|(narrowness, _)| *narrowness == narrowest).map(|(_, chain)| chain).collect();
    }
    left.into_iter().next().or(listener.default_filter_chain.as_ref())
}

/// How narrowly a condition fits: 0 where there is none, `None` where it does not hold.
fn by_port(condition: &FilterChainMatch, connection: &Connection) -> Option<usize> {
    match condition.destination_port {
        None => Some(0),
        Some(port) => (port == u32::from(connection.port)).then_some(1),
    }
}

fn by_address(condition: &FilterChainMatch, connection: &Connection) -> Option<usize> {
    if condition.prefix_ranges.is_empty() {
        return Some(0);
    }
    let address = connection.address?;
    condition.prefix_ranges.iter().filter_map(|range| covers(range, address)).max()
}

/// One more than the length of a range that an address is in.
fn covers(range: &CidrRange, address: IpAddr) -> Option<usize> {
    let length = u8::try_from(range.prefix_len.unwrap_or(0)).ok()?;
    let prefix: IpAddr = range.address_prefix.parse().ok()?;
    let net = ipnet::IpNet::new(prefix, length).ok()?;
    net.contains(&address).then_some(usize::from(length) + 1)
}

fn by_server_name(condition: &FilterChainMatch, connection: &Connection) -> Option<usize> {
    if condition.server_names.is_empty() {
        return Some(0);
    }
    let name = connection.server_name.as_str();
    let fits = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => (!name.is_empty() && name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len() + 1),
        // An exact name is narrower than any wildcard.
        None => (name == pattern).then_some(usize::MAX),
    };
    condition.server_names.iter().filter_map(fits).max()
}

fn by_transport(condition: &FilterChainMatch, connection: &Connection) -> Option<usize> {
    match condition.transport_protocol.as_str() {
        "" => Some(0),
        protocol => (protocol == connection.transport).then_some(1),
    }
}

fn by_protocol(condition: &FilterChainMatch, connection: &Connection) -> Option<usize> {
    let wanted = &condition.application_protocols;
    if wanted.is_empty() {
        return Some(0);
    }
    // What the client names first counts most.
    let place = connection.protocols.iter().position(|protocol| wanted.contains(protocol))?;
    Some(connection.protocols.len() - place)
}
