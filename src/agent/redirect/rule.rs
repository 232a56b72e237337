//! Redirect rules as values. Their text is that of nft(8), so that a rule in a test or an error reads as it would on a node.

use ipnet::IpNet;
use std::{fmt, net::IpAddr};

/// All that captures a pod's traffic: what is put into a network namespace, and nothing else is touched there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Chains of one nf_tables table for both address families.
    pub chains: Vec<Chain>,
    /// Addresses that the loopback interface has to have, because the proxy connects from them.
    pub loopback: Vec<IpAddr>,
    /// Packets with this mark belong to the pod itself, wherever they are addressed to; a routing table of its own says so.
    pub mark: Option<u32>,
}

/// The routing table for marked packets.
pub(super) const MARKED_TABLE: u8 = 133;

/// Rules that are consulted at one place of the kernel's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What is done there.
    pub stage: Stage,
    /// Where it is consulted.
    pub hook: Hook,
    /// In order; the first that passes, redirects or drops decides. What none decides goes where it wanted to.
    pub rules: Vec<Rule>,
}

/// What the rules of a chain do, in the order in which the kernel comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before connections are tracked.
    Raw,
    /// Once they are tracked: packets are marked, and given to sockets.
    Mangle,
    /// New connections get another destination.
    Nat,
}

/// Where a chain is consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// For what comes in from outside of the pod.
    Prerouting,
    /// For what a process of the pod sends.
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

/// A property of a packet, or of the connection that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is TCP.
    Tcp,
    /// It opens a TCP connection.
    Opening,
    /// It came in through this interface.
    From(String),
    /// It leaves through this interface.
    To(String),
    /// A process of this user sends it.
    User(u32),
    /// A process of this group sends it.
    Group(u32),
    /// A process of another group sends it.
    NotGroup(u32),
    /// Its source is in this range.
    Source(IpNet),
    /// Its destination is in this range.
    Destination(IpNet),
    /// Its destination is of this range's address family, but outside of the range.
    NotDestination(IpNet),
    /// It is TCP, and its destination has this port.
    Port(u16),
    /// It is UDP, and its destination has this port.
    UdpPort(u16),
    /// It is UDP, and its source has this port.
    UdpSourcePort(u16),
    /// It has this mark.
    Mark(u32),
    /// Its connection has this mark.
    ConnectionMark(u32),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets it go where it wanted to.
    Pass,
    /// Lets it go nowhere.
    Drop,
    /// Sends the connection to this port of the pod itself.
    Redirect(u16),
    /// Gives the packet to the socket that listens on this port, addresses as they are, and marks it; does nothing where none listens that
    /// takes such packets.
    Give {
        /// The port.
        port: u16,
        /// The mark.
        mark: u32,
    },
    /// Marks the connection as the packet is.
    SaveMark,
    /// Marks the packet as its connection is.
    RestoreMark,
    /// Tracks the connection apart from those of other zones.
    Zone(u16),
}

/// The loopback interface.
pub(super) const LOOPBACK: &str = "lo";

// === impl Rules ===

impl Rules {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    /// Whether nothing is captured.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As nft(8) reads it; what ip(8) has to do beside it stands in comments.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for command in super::routes::commands(self) {
            writeln!(f, "# {command}")?;
        }
        writeln!(f, "table inet {} {{", super::encode::TABLE)?;
        for (place, chain) in self.chains.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            let (name, kind, priority) = (chain.name(), chain.kind(), chain.stage.priority());
            writeln!(f, "\tchain {name} {{")?;
            writeln!(f, "\t\ttype {kind} hook {} priority {priority}; policy accept;", chain.hook)?;
            for rule in &chain.rules {
                writeln!(f, "\t\t{rule}")?;
            }
            writeln!(f, "\t}}")?;
        }
        writeln!(f, "}}")
    }
}

// === impl Chain ===

impl Chain {
    /// Its name in the table.
    pub(super) fn name(&self) -> String {
        match self.stage {
            Stage::Nat => self.hook.to_string(),
            stage => format!("{}-{}", stage.name(), self.hook),
        }
    }

    /// Its kind in nf_tables' words.
    pub(super) fn kind(&self) -> &'static str {
        match (self.stage, self.hook) {
            (Stage::Nat, _) => "nat",
            // A packet that gets a mark on its way out is routed anew.
            (Stage::Mangle, Hook::Output) => "route",
            _ => "filter",
        }
    }
}

// === impl Stage ===

impl Stage {
    /// The name of iptables' table for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
        }
    }

    /// Its place on the kernel's path, as netfilter counts: the kernel's NF_IP_PRI_RAW, NF_IP_PRI_MANGLE and NF_IP_PRI_NAT_DST.
    pub(super) fn priority(self) -> i32 {
        match self {
            Self::Raw => -300,
            Self::Mangle => -150,
            Self::Nat => -100,
        }
    }
}

// === impl Rule ===

impl Rule {
    /// A rule that lets what has these properties pass.
    pub(super) fn pass(matches: impl Into<Vec<Match>>) -> Self {
        Self::new(matches, Action::Pass)
    }

    /// A rule that redirects what has these properties.
    pub(super) fn redirect(matches: impl Into<Vec<Match>>, port: u16) -> Self {
        Self::new(matches, Action::Redirect(port))
    }

    /// A rule that does that with what has these properties.
    pub(super) fn new(matches: impl Into<Vec<Match>>, action: Action) -> Self {
        Self { matches: matches.into(), action }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for property in &self.matches {
            write!(f, "{property} ")?;
        }
        match self.action {
            Action::Pass => f.write_str("return"),
            Action::Drop => f.write_str("drop"),
            Action::Redirect(port) => write!(f, "redirect to :{port}"),
            Action::Give { port, mark } => write!(f, "tproxy to :{port} meta mark set {mark} accept"),
            Action::SaveMark => f.write_str("ct mark set meta mark"),
            Action::RestoreMark => f.write_str("meta mark set ct mark"),
            Action::Zone(zone) => write!(f, "ct zone set {zone}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |range: &IpNet| if range.addr().is_ipv4() { "ip" } else { "ip6" };
        match self {
            Self::Tcp => f.write_str("meta l4proto tcp"),
            Self::Opening => f.write_str("tcp flags & (syn | ack) == syn"),
            Self::From(interface) => write!(f, "iifname \"{interface}\""),
            Self::To(interface) => write!(f, "oifname \"{interface}\""),
            Self::User(id) => write!(f, "meta skuid {id}"),
            Self::Group(id) => write!(f, "meta skgid {id}"),
            Self::NotGroup(id) => write!(f, "meta skgid != {id}"),
            Self::Source(range) => write!(f, "{} saddr {range}", family(range)),
            Self::Destination(range) => write!(f, "{} daddr {range}", family(range)),
            Self::NotDestination(range) => write!(f, "{} daddr != {range}", family(range)),
            Self::Port(port) => write!(f, "tcp dport {port}"),
            Self::UdpPort(port) => write!(f, "udp dport {port}"),
            Self::UdpSourcePort(port) => write!(f, "udp sport {port}"),
            Self::Mark(mark) => write!(f, "meta mark {mark}"),
            Self::ConnectionMark(mark) => write!(f, "ct mark {mark}"),
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
