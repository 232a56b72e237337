//! What of capturing is no matter of netfilter: an address of the loopback interface, and where marked packets go.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
    route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use std::{fs, io, net::IpAddr};

use super::{
    apply::RedirectError,
    rule::{LOOPBACK, MARKED_TABLE, Rules},
};

/// The index of the loopback interface in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// Whether a namespace goes without IPv6.
pub(super) const IPV6_IS_OFF: &str = "/proc/sys/net/ipv6/conf/lo/disable_ipv6";

/// One thing to put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An address of the loopback interface.
    Address(IpAddr),
    /// Marked packets of a family are looked up in our table.
    Lookup(AddressFamily, u32),
    /// By which they are the pod's own.
    Local(AddressFamily),
}

fn steps(rules: &Rules) -> Vec<Step> {
    let marked = rules.mark.into_iter().flat_map(|mark| {
        let families = [AddressFamily::Inet, AddressFamily::Inet6];
        families.into_iter().flat_map(move |family| [Step::Lookup(family, mark), Step::Local(family)])
    });
    rules.loopback.iter().copied().map(Step::Address).chain(marked).collect()
}

/// The same in ip(8)'s words, for people.
pub(super) fn commands(rules: &Rules) -> Vec<String> {
    steps(rules).iter().map(ToString::to_string).collect()
}

/// Puts in place what is not there yet. What is for IPv6 is left out where the namespace has none.
pub(super) fn put(rules: &Rules) -> Result<(), RedirectError> {
    let steps = steps(rules);
    if steps.is_empty() {
        return Ok(());
    }
    let has_ipv6 = fs::read_to_string(IPV6_IS_OFF).is_ok_and(|text| text.trim() == "0");
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(RedirectError::Netlink)?;
    socket.bind_auto().map_err(RedirectError::Netlink)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(RedirectError::Netlink)?;
    for step in steps.into_iter().filter(|step| has_ipv6 || !step.is_ipv6()) {
        let mut message = step.message();
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        socket.send(&bytes, 0).map_err(RedirectError::Netlink)?;
        let (answer, _) = socket.recv_from_full().map_err(RedirectError::Netlink)?;
        let answer =
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(|error| RedirectError::Answer(error.to_string()))?;
        let NetlinkPayload::Error(verdict) = answer.payload else {
            return Err(RedirectError::Answer(format!("no verdict on {:?}", step.to_string())));
        };
        match verdict.code.map(|code| Errno::from_raw(code.get().abs())) {
            None | Some(Errno::EEXIST) => {}
            Some(Errno::EPERM) => return Err(RedirectError::Forbidden),
            Some(error) => return Err(RedirectError::Refused { step: step.to_string(), source: io::Error::from(error) }),
        }
    }
    Ok(())
}

// === impl Step ===

impl Step {
    fn is_ipv6(self) -> bool {
        match self {
            Self::Address(address) => address.is_ipv6(),
            Self::Lookup(family, _) | Self::Local(family) => family == AddressFamily::Inet6,
        }
    }

    fn message(self) -> NetlinkMessage<RouteNetlinkMessage> {
        let (message, flags) = match self {
            Self::Address(address) => {
                let mut message = AddressMessage::default();
                (message.header.family, message.header.prefix_len) = match address {
                    IpAddr::V4(_) => (AddressFamily::Inet, 32),
                    IpAddr::V6(_) => (AddressFamily::Inet6, 128),
                };
                message.header.scope = AddressScope::Host;
                message.header.flags = AddressHeaderFlags::Nodad;
                message.header.index = LOOPBACK_INDEX;
                message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
                (RouteNetlinkMessage::NewAddress(message), NLM_F_REPLACE)
            }
            Self::Lookup(family, mark) => {
                let mut message = RuleMessage::default();
                message.header.family = family;
                message.header.table = MARKED_TABLE;
                message.header.action = RuleAction::ToTable;
                message.attributes = vec![RuleAttribute::FwMark(mark), RuleAttribute::Protocol(RouteProtocol::Static)];
                (RouteNetlinkMessage::NewRule(message), NLM_F_EXCL)
            }
            Self::Local(family) => {
                let mut message = RouteMessage::default();
                message.header.address_family = family;
                message.header.table = MARKED_TABLE;
                message.header.protocol = RouteProtocol::Static;
                message.header.scope = RouteScope::Host;
                message.header.kind = RouteType::Local;
                message.attributes = vec![RouteAttribute::Oif(LOOPBACK_INDEX)];
                (RouteNetlinkMessage::NewRoute(message), NLM_F_REPLACE)
            }
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags;
        NetlinkMessage::new(header, NetlinkPayload::from(message))
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ip = |family: &AddressFamily| if *family == AddressFamily::Inet6 { "ip -6" } else { "ip" };
        match self {
            Self::Address(address) => {
                let (ip, length) = if address.is_ipv6() { ("ip -6", 128) } else { ("ip", 32) };
                write!(f, "{ip} addr replace {address}/{length} dev {LOOPBACK} nodad")
            }
            Self::Lookup(family, mark) => write!(f, "{} rule add fwmark {mark} lookup {MARKED_TABLE}", ip(family)),
            Self::Local(family) => write!(f, "{} route replace local default dev {LOOPBACK} table {MARKED_TABLE}", ip(family)),
        }
    }
}
