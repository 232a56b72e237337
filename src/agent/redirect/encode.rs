//! Redirect rules in the kernel's form: expressions over registers, in netlink messages.

use ipnet::IpNet;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{
        Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook as ChainHook, Immediate,
        InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage,
        TableAttribute, TableMessage, Verdict, VerdictAttribute,
    },
    none::ControlMessage,
};

use super::rule::{Action, Chain, Hook, Match, Rule};

/// The name of our table.
pub(super) const TABLE: &str = "ferromesh";

/// A message to the kernel, and what it does in words.
pub(super) struct Step {
    pub(super) message: NetlinkMessage<NetfilterMessage>,
    pub(super) what: String,
}

/// The batch belongs to this subsystem: the kernel's NFNL_SUBSYS_NFTABLES.
const NFTABLES: u16 = 10;
/// Length of an interface's name in the kernel, with its terminating zero.
const INTERFACE_NAME: usize = 16;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
/// Bases of the kernel's payload expression.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where TCP's flags are in its header, and those of them by which the first packet of a connection is known.
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Verdicts of netfilter itself: NF_DROP and NF_ACCEPT.
const DROP: Verdict = Verdict::Other(0);
const ACCEPT: Verdict = Verdict::Other(1);
/// The attribute NFTA_REDIR_REG_PROTO_MIN, a register that holds a port.
const REDIRECT_PORT: u16 = 1;
/// Attributes of the expression tproxy: NFTA_TPROXY_FAMILY, of which 0 is both, and NFTA_TPROXY_REG_PORT.
const GIVE_FAMILY: u16 = 1;
const GIVE_PORT: u16 = 3;
/// Attributes of the expression ct: NFTA_CT_DREG, NFTA_CT_KEY and NFTA_CT_SREG.
const CONNECTION_INTO: u16 = 1;
const CONNECTION_KEY: u16 = 2;
const CONNECTION_FROM: u16 = 4;
/// What it reads and writes: NFT_CT_MARK and NFT_CT_ZONE.
const CONNECTION_MARK: u32 = 3;
const CONNECTION_ZONE: u32 = 17;

type Expression = ListAttribute<ExpressionAttribute>;

/// The whole transaction: the table is replaced by one with these chains. Every message has its place as its sequence number.
pub(super) fn transaction(chains: &[Chain]) -> Vec<Step> {
    // Deleting a table that is not there fails, so it is made first; all of it happens at once or not at all.
    let mut steps = vec![
        control(ControlMessage::BatchBegin, "begin"),
        step(NfTablesMessage::NewTable(table()), NLM_F_CREATE, format!("add table inet {TABLE}")),
        step(NfTablesMessage::DeleteTable(table()), 0, format!("delete table inet {TABLE}")),
        step(NfTablesMessage::NewTable(table()), NLM_F_CREATE, format!("add table inet {TABLE}")),
    ];
    for chain in chains {
        let what = format!("add chain inet {TABLE} {}", chain.name());
        steps.push(step(NfTablesMessage::NewChain(base_chain(chain)), NLM_F_CREATE, what));
    }
    for chain in chains {
        for rule in &chain.rules {
            let what = format!("add rule inet {TABLE} {} {rule}", chain.name());
            steps.push(step(NfTablesMessage::NewRule(rule_message(chain, rule)), NLM_F_CREATE | NLM_F_APPEND, what));
        }
    }
    // Errors are always answered; the last step's acknowledgement says that there was none. More would only fill the socket.
    if let Some(last) = steps.last_mut() {
        last.message.header.flags |= NLM_F_ACK;
    }
    steps.push(control(ControlMessage::BatchEnd, "commit"));
    for (number, step) in (0..).zip(&mut steps) {
        step.message.header.sequence_number = number;
        step.message.finalize();
    }
    steps
}

/// A message of a batch's frame.
fn control(message: ControlMessage, what: &str) -> Step {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    wrap(NetfilterMessage::new(header, message), 0, what.to_owned())
}

fn step(message: NfTablesMessage, flags: u16, what: String) -> Step {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    wrap(NetfilterMessage::new(header, NetfilterMessageInner::from(message)), flags, what)
}

fn wrap(message: NetfilterMessage, flags: u16, what: String) -> Step {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    Step { message: NetlinkMessage::new(header, NetlinkPayload::from(message)), what }
}

fn table() -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] }
}

fn base_chain(chain: &Chain) -> ChainMessage {
    let hook = match chain.hook {
        Hook::Prerouting => InetHookNumber::PreRouting,
        Hook::Output => InetHookNumber::LocalOut,
    };
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(chain.name()),
            ChainAttribute::Hook(vec![ChainHook::Number(hook.into()), ChainHook::Priority(chain.stage.priority().cast_unsigned())]),
            ChainAttribute::Type(chain.kind().to_owned()),
        ],
    }
}

pub(super) fn rule_message(chain: &Chain, rule: &Rule) -> RuleMessage {
    let (mut expressions, mut known) = (Vec::<Expression>::new(), None);
    for property in &rule.matches {
        // Of which protocol the packet is has to be asked once, before anything of its header.
        let needed = protocol_of(property);
        if needed.is_some() && needed != known {
            expressions.extend(needed.map(protocol).into_iter().flatten());
            known = needed;
        }
        expressions.extend(expressions_of(property));
    }
    expressions.extend(match rule.action {
        Action::Pass => vec![verdict(Verdict::Return)],
        Action::Drop => vec![verdict(DROP)],
        Action::Redirect(port) => redirect(port),
        Action::Give { port, mark } => give(port, mark),
        Action::SaveMark => vec![meta(MetaKey::Mark), connection(CONNECTION_FROM, CONNECTION_MARK)],
        Action::RestoreMark => vec![connection(CONNECTION_INTO, CONNECTION_MARK), set_mark()],
        // The kernel keeps zones as native integers, as it does marks.
        Action::Zone(zone) => vec![immediate(zone.to_ne_bytes().into()), connection(CONNECTION_FROM, CONNECTION_ZONE)],
    });
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(chain.name()),
            RuleAttribute::Expressions(expressions),
        ],
    }
}

fn expressions_of(property: &Match) -> Vec<Expression> {
    let equal = Operator::Equal;
    let not_equal = Operator::NotEqual;
    match property {
        Match::Tcp => Vec::new(),
        Match::Opening => vec![load(TRANSPORT_HEADER, TCP_FLAGS, 1), mask(vec![SYN | ACK]), compare(equal, vec![SYN])],
        Match::From(name) => vec![meta(MetaKey::Iifname), compare(equal, interface(name))],
        Match::To(name) => vec![meta(MetaKey::Oifname), compare(equal, interface(name))],
        // The kernel keeps ids as native integers, unlike everything that comes out of a packet.
        Match::User(id) => vec![meta(MetaKey::SocketUserId), compare(equal, id.to_ne_bytes().into())],
        Match::Group(id) => vec![meta(MetaKey::SocketGroupId), compare(equal, id.to_ne_bytes().into())],
        Match::NotGroup(id) => vec![meta(MetaKey::SocketGroupId), compare(not_equal, id.to_ne_bytes().into())],
        Match::Source(range) => address(range, Side::Source, equal),
        Match::Destination(range) => address(range, Side::Destination, equal),
        Match::NotDestination(range) => address(range, Side::Destination, not_equal),
        Match::Port(number) | Match::UdpPort(number) => port(Side::Destination, *number),
        Match::UdpSourcePort(number) => port(Side::Source, *number),
        Match::Mark(mark) => vec![meta(MetaKey::Mark), compare(equal, mark.to_ne_bytes().into())],
        Match::ConnectionMark(mark) => {
            vec![connection(CONNECTION_INTO, CONNECTION_MARK), compare(equal, mark.to_ne_bytes().into())]
        }
    }
}

/// An interface's name as the kernel keeps it.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(INTERFACE_NAME, 0);
    bytes
}

/// Of which protocol a packet has to be for that question to make sense.
fn protocol_of(property: &Match) -> Option<u8> {
    match property {
        Match::Tcp | Match::Opening | Match::Port(_) => Some(TCP),
        Match::UdpPort(_) | Match::UdpSourcePort(_) => Some(UDP),
        _ => None,
    }
}

fn protocol(number: u8) -> Vec<Expression> {
    vec![meta(MetaKey::L4Proto), compare(Operator::Equal, vec![number])]
}

fn port(side: Side, number: u16) -> Vec<Expression> {
    let offset = match side {
        Side::Source => 0,
        Side::Destination => 2,
    };
    vec![load(TRANSPORT_HEADER, offset, 2), compare(Operator::Equal, number.to_be_bytes().into())]
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// A test of the family, then of the address: the table holds both families.
fn address(range: &IpNet, side: Side, operator: Operator) -> Vec<Expression> {
    let octets = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (family, offset, length) = match (range, side) {
        (IpNet::V4(_), Side::Source) => (FAMILY_V4, 12, 4),
        (IpNet::V4(_), Side::Destination) => (FAMILY_V4, 16, 4),
        (IpNet::V6(_), Side::Source) => (FAMILY_V6, 8, 16),
        (IpNet::V6(_), Side::Destination) => (FAMILY_V6, 24, 16),
    };
    let mut expressions = vec![meta(MetaKey::Nfproto), compare(Operator::Equal, vec![family]), load(NETWORK_HEADER, offset, length)];
    if range.prefix_len() < range.max_prefix_len() {
        expressions.push(mask(octets(range.netmask())));
    }
    expressions.push(compare(operator, octets(range.network())));
    expressions
}

fn meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::DestinationRegister(Register::Reg1), Meta::Key(key)]).into()
}

fn load(base: u32, offset: u32, length: u32) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

fn mask(mask: Vec<u8>) -> Expression {
    let length = u32::try_from(mask.len()).unwrap_or_default();
    let zero = vec![0; mask.len()];
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(length),
        Bitwise::Mask(DataAttribute::Value(mask)),
        Bitwise::Xor(DataAttribute::Value(zero)),
    ])
    .into()
}

fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(operator), Cmp::Data(DataAttribute::Value(value))]).into()
}

fn verdict(verdict: Verdict) -> Expression {
    let data = DataAttribute::Verdict(vec![VerdictAttribute::Code(verdict)]);
    Expressions::Immediate(vec![Immediate::DestinationRegister(Register::Verdict), Immediate::Data(data)]).into()
}

fn immediate(value: Vec<u8>) -> Expression {
    Expressions::Immediate(vec![Immediate::DestinationRegister(Register::Reg1), Immediate::Data(DataAttribute::Value(value))]).into()
}

/// An expression that the library has no type for.
fn other(name: &str, attributes: Vec<(u16, u32)>) -> Expression {
    let attributes = attributes.into_iter().map(|(kind, value)| DefaultNla::new(kind, value.to_be_bytes().into())).collect();
    Expressions::Other { expression_type: name.to_owned(), attributes }.into()
}

fn redirect(port: u16) -> Vec<Expression> {
    vec![immediate(port.to_be_bytes().into()), other("redir", vec![(REDIRECT_PORT, Register::Reg1.into())])]
}

/// The mark comes after the socket: where there is none, the rule ends before.
fn give(port: u16, mark: u32) -> Vec<Expression> {
    vec![
        immediate(port.to_be_bytes().into()),
        other("tproxy", vec![(GIVE_FAMILY, 0), (GIVE_PORT, Register::Reg1.into())]),
        immediate(mark.to_ne_bytes().into()),
        set_mark(),
        verdict(ACCEPT),
    ]
}

fn set_mark() -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::Mark), Meta::SourceRegister(Register::Reg1)]).into()
}

/// Reads a property of the connection into the register, or sets it from there.
fn connection(direction: u16, key: u32) -> Expression {
    other("ct", vec![(CONNECTION_KEY, key), (direction, Register::Reg1.into())])
}
