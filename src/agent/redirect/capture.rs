//! What a pod asks for: which of its connections go to its proxy.

use ipnet::IpNet;
use std::{fmt, net::IpAddr};

use crate::model::InterceptionMode;

/// Which connections go to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// How inbound connections come to the proxy. With [`InterceptionMode::None`] nothing is captured.
    pub mode: InterceptionMode,
    /// Where the proxy takes outbound connections.
    pub outbound_port: u16,
    /// Where the proxy takes inbound connections.
    pub inbound_port: u16,
    /// The proxy's users, whose own connections are never captured.
    pub users: Vec<u32>,
    /// The proxy's groups, likewise.
    pub groups: Vec<u32>,
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
    /// Groups whose processes' outbound connections are captured.
    pub outbound_groups: Selection<u32>,
    /// Groups whose processes' outbound connections are left alone.
    pub excluded_outbound_groups: Vec<u32>,
    /// Interfaces whose traffic is left alone, in both directions.
    pub excluded_interfaces: Vec<String>,
    /// Interfaces of virtual machines within the pod: what comes in there is what their applications call, and counts as outbound.
    pub virtual_interfaces: Vec<String>,
    /// Whether the agent answers the application's DNS queries.
    pub dns: Option<DnsCapture>,
}

/// Which DNS queries go to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsCapture {
    /// Where the agent answers, by UDP and TCP.
    pub port: u16,
    /// The servers that the application means to ask. Queries of others are left alone.
    pub resolvers: Selection<IpAddr>,
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
    /// Not an id.
    #[error("{0:?} is no number of a user or group, such as 1337")]
    Id(String),
    /// Not an interface.
    #[error("{0:?} is no name of an interface: it has 1 to 15 characters, and neither blanks, quotes nor slashes")]
    Interface(String),
}

/// The longest name of an interface that the kernel takes.
const INTERFACE_NAME: usize = 15;

// === impl Capture ===

impl Capture {
    /// What the injector asks for where nobody asks for anything else.
    #[cfg(test)]
    pub(crate) fn usual() -> Self {
        Self {
            mode: InterceptionMode::Redirect,
            outbound_port: 15001,
            inbound_port: 15006,
            users: vec![1337],
            groups: vec![1337],
            inbound_ports: Selection::All,
            excluded_inbound_ports: vec![15090, 15021, 15020],
            outbound_ranges: Selection::All,
            excluded_outbound_ranges: vec![],
            outbound_ports: vec![],
            excluded_outbound_ports: vec![],
            outbound_groups: Selection::All,
            excluded_outbound_groups: vec![],
            excluded_interfaces: vec![],
            virtual_interfaces: vec![],
            dns: None,
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

    /// Reads a comma list of users' or groups' numbers.
    ///
    /// # Errors
    /// On the first that is none.
    pub fn ids(text: &str) -> Result<Vec<u32>, CaptureError> {
        list(text, |part| part.parse().map_err(|_| CaptureError::Id(part.to_owned())))
    }

    /// Reads a comma list of interfaces' names.
    ///
    /// # Errors
    /// On the first that is none.
    pub fn interfaces(text: &str) -> Result<Vec<String>, CaptureError> {
        let known = |part: &str| {
            part.len() <= INTERFACE_NAME && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "/\"'".contains(c))
        };
        list(text, |part| if known(part) { Ok(part.to_owned()) } else { Err(CaptureError::Interface(part.to_owned())) })
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
