//! Redirect rules as values. Their text is that of nft(8), so that a rule in a test or an error reads as it would on a node.

use ipnet::IpNet;
use std::fmt;

/// What holds for new TCP connections at one place of the kernel's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name in the table.
    pub name: &'static str,
    /// Where it is consulted.
    pub hook: Hook,
    /// In order; the first that matches decides. A connection that none matches goes where it wanted to.
    pub rules: Vec<Rule>,
}

/// Where a chain is consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// For connections that come in from outside of the pod.
    Prerouting,
    /// For connections that a process of the pod opens.
    Output,
}

/// One rule: if all of `matches` hold, then `action`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold. None at all holds always.
    pub matches: Vec<Match>,
    /// What happens then.
    pub action: Action,
}

/// A property of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is not TCP.
    NotTcp,
    /// It leaves through the loopback interface: its destination is within the pod.
    ToLoopback,
    /// A process of this user opened it.
    User(u32),
    /// A process of another user opened it.
    NotUser(u32),
    /// A process of this group opened it.
    Group(u32),
    /// A process of another group opened it.
    NotGroup(u32),
    /// Its source is in this range.
    Source(IpNet),
    /// Its destination is in this range.
    Destination(IpNet),
    /// Its destination is of this range's address family, but outside of the range.
    NotDestination(IpNet),
    /// Its destination has this port.
    Port(u16),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets the connection go where it wanted to.
    Pass,
    /// Sends it to this port of the pod itself.
    Redirect(u16),
}

// === impl Rule ===

impl Rule {
    /// A rule that lets connections with these properties pass.
    pub(super) fn pass(matches: impl Into<Vec<Match>>) -> Self {
        Self { matches: matches.into(), action: Action::Pass }
    }

    /// A rule that redirects connections with these properties.
    pub(super) fn redirect(matches: impl Into<Vec<Match>>, port: u16) -> Self {
        Self { matches: matches.into(), action: Action::Redirect(port) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for property in &self.matches {
            write!(f, "{property} ")?;
        }
        match self.action {
            Action::Pass => f.write_str("return"),
            Action::Redirect(port) => write!(f, "redirect to :{port}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |range: &IpNet| if range.addr().is_ipv4() { "ip" } else { "ip6" };
        match self {
            Self::NotTcp => f.write_str("meta l4proto != tcp"),
            Self::ToLoopback => f.write_str("oifname \"lo\""),
            Self::User(id) => write!(f, "meta skuid {id}"),
            Self::NotUser(id) => write!(f, "meta skuid != {id}"),
            Self::Group(id) => write!(f, "meta skgid {id}"),
            Self::NotGroup(id) => write!(f, "meta skgid != {id}"),
            Self::Source(range) => write!(f, "{} saddr {range}", family(range)),
            Self::Destination(range) => write!(f, "{} daddr {range}", family(range)),
            Self::NotDestination(range) => write!(f, "{} daddr != {range}", family(range)),
            Self::Port(port) => write!(f, "tcp dport {port}"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
        })
    }
}
