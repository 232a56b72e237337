//! From what a pod asks for to rules, with the meaning that the reference's rules have.

use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::rule::{Chain, Hook, Match, Rule};

/// Which connections go to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Where the proxy takes outbound connections.
    pub outbound_port: u16,
    /// Where the proxy takes inbound connections.
    pub inbound_port: u16,
    /// The proxy's user, whose own connections are never captured.
    pub user: u32,
    /// The proxy's group, likewise.
    pub group: u32,
    /// Inbound ports to capture.
    pub inbound_ports: Selection<u16>,
    /// Inbound ports to leave alone, whatever else is asked for.
    pub excluded_inbound_ports: Vec<u16>,
    /// Outbound address ranges to capture.
    pub outbound_ranges: Selection<IpNet>,
    /// Outbound address ranges to leave alone.
    pub excluded_outbound_ranges: Vec<IpNet>,
    /// Outbound ports to capture beside the ranges.
    pub outbound_ports: Vec<u16>,
    /// Outbound ports to leave alone, whatever else is asked for.
    pub excluded_outbound_ports: Vec<u16>,
}

/// Everything (`*`), or these and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<T> {
    /// Everything.
    All,
    /// These; possibly none.
    Only(Vec<T>),
}

/// A list that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// Not a port.
    #[error("{0:?} is no port between 1 and 65535")]
    Port(String),
    /// Not a range.
    #[error("{0:?} is no address range such as 10.0.0.0/8")]
    Range(String),
}

/// The address that Envoy's inbound connections to the application come from: how they are told from others.
const INBOUND_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6.
const INBOUND_SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));
const LOCALHOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

// === impl Capture ===

impl Capture {
    /// The rules that do it.
    pub fn chains(&self) -> Vec<Chain> {
        vec![
            Chain { name: "prerouting", hook: Hook::Prerouting, rules: self.inbound() },
            Chain { name: "output", hook: Hook::Output, rules: self.outbound() },
        ]
    }

    fn inbound(&self) -> Vec<Rule> {
        let mut rules = vec![Rule::pass([Match::NotTcp])];
        rules.extend(self.excluded_inbound_ports.iter().map(|port| Rule::pass([Match::Port(*port)])));
        match &self.inbound_ports {
            Selection::All => rules.push(Rule::redirect([], self.inbound_port)),
            Selection::Only(ports) => rules.extend(ports.iter().map(|port| Rule::redirect([Match::Port(*port)], self.inbound_port))),
        }
        rules
    }

    fn outbound(&self) -> Vec<Rule> {
        let mut rules = vec![Rule::pass([Match::NotTcp])];
        rules.extend(self.excluded_outbound_ports.iter().map(|port| Rule::pass([Match::Port(*port)])));
        for source in [INBOUND_SOURCE, INBOUND_SOURCE_V6] {
            rules.push(Rule::pass([Match::Source(source.into()), Match::ToLoopback]));
        }
        rules.extend(self.own(Match::User(self.user), Match::NotUser(self.user)));
        rules.extend(self.own(Match::Group(self.group), Match::NotGroup(self.group)));
        // Who names localhost means his own pod.
        rules.extend(LOCALHOSTS.map(|address| Rule::pass([Match::Destination(address.into())])));
        rules.extend(self.excluded_outbound_ranges.iter().map(|range| Rule::pass([Match::Destination(*range)])));
        rules.extend(self.outbound_ports.iter().map(|port| Rule::redirect([Match::Port(*port)], self.outbound_port)));
        match &self.outbound_ranges {
            Selection::All => rules.push(Rule::redirect([], self.outbound_port)),
            Selection::Only(ranges) => {
                rules.extend(ranges.iter().map(|range| Rule::redirect([Match::Destination(*range)], self.outbound_port)));
            }
        }
        rules
    }

    /// What holds within the pod, and for the proxy itself, which `own` tells from others.
    fn own(&self, own: Match, other: Match) -> Vec<Rule> {
        // The proxy reached its own pod: the application called its own Service and was balanced onto itself. The call has to come in
        // as any other would.
        let mut rules: Vec<Rule> = LOCALHOSTS
            .map(|address| Rule::redirect([Match::ToLoopback, Match::NotDestination(address.into()), own.clone()], self.inbound_port))
            .into();
        // An application that calls itself by its own address does not need the proxy, unless it asked for loopback to be captured.
        if !self.captures_loopback() {
            rules.push(Rule::pass([Match::ToLoopback, other]));
        }
        rules.push(Rule::pass([own]));
        rules
    }

    fn captures_loopback(&self) -> bool {
        match &self.outbound_ranges {
            Selection::All => false,
            Selection::Only(ranges) => ranges.iter().any(|range| range.addr().is_loopback()),
        }
    }

    /// Reads a comma list of ports.
    ///
    /// # Errors
    /// On the first that is none.
    pub fn ports(text: &str) -> Result<Vec<u16>, CaptureError> {
        list(text, |part| part.parse().ok().filter(|port| *port != 0).ok_or_else(|| CaptureError::Port(part.to_owned())))
    }

    /// Reads a comma list of address ranges; a single address is a range of one.
    ///
    /// # Errors
    /// On the first that is none.
    pub fn ranges(text: &str) -> Result<Vec<IpNet>, CaptureError> {
        list(text, |part| {
            let range = part.parse::<IpNet>().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            range.map(|range| range.trunc()).ok_or_else(|| CaptureError::Range(part.to_owned()))
        })
    }
}

// === impl Selection ===

impl<T> Selection<T> {
    /// Reads `*`, or else what `list` makes of the text.
    ///
    /// # Errors
    /// Those of `list`.
    pub fn read(text: &str, list: impl FnOnce(&str) -> Result<Vec<T>, CaptureError>) -> Result<Self, CaptureError> {
        if text.trim() == "*" { Ok(Self::All) } else { list(text).map(Self::Only) }
    }
}

impl<T: fmt::Display> fmt::Display for Selection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(items) => f.write_str(&items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, CaptureError>) -> Result<Vec<T>, CaptureError> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}
