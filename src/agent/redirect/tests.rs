//! Rules as text, as bytes, and at work in a network namespace of their own.

use netlink_packet_core::{Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{ExpressionAttribute, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage},
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_NETFILTER};
use rstest::rstest;
use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    Capture, CaptureError, Chain, Hook, Match, Rule, Selection,
    encode::{TABLE, rule_message, transaction},
    install,
};
use crate::testing::skip;

const OUTBOUND: u16 = 15001;
const INBOUND: u16 = 15006;
const PROXY: u32 = 1337;

/// What the injector asks for by default.
fn default_capture() -> Capture {
    Capture {
        outbound_port: OUTBOUND,
        inbound_port: INBOUND,
        user: PROXY,
        group: PROXY,
        inbound_ports: Selection::All,
        excluded_inbound_ports: vec![15090, 15021, 15020],
        outbound_ranges: Selection::All,
        excluded_outbound_ranges: vec![],
        outbound_ports: vec![],
        excluded_outbound_ports: vec![],
    }
}

fn text(chain: &Chain) -> Vec<String> {
    chain.rules.iter().map(ToString::to_string).collect()
}

#[test]
fn by_default_everything_but_the_sidecars_own_ports_is_captured() {
    let [inbound, outbound] = &default_capture().chains()[..] else { panic!("two chains") };
    assert_eq!((inbound.hook, outbound.hook), (Hook::Prerouting, Hook::Output));
    assert_eq!(
        text(inbound),
        ["meta l4proto != tcp return", "tcp dport 15090 return", "tcp dport 15021 return", "tcp dport 15020 return", "redirect to :15006",]
    );
    assert_eq!(
        text(outbound),
        [
            "meta l4proto != tcp return",
            "ip saddr 127.0.0.6/32 oifname \"lo\" return",
            "ip6 saddr ::6/128 oifname \"lo\" return",
            "oifname \"lo\" ip daddr != 127.0.0.1/32 meta skuid 1337 redirect to :15006",
            "oifname \"lo\" ip6 daddr != ::1/128 meta skuid 1337 redirect to :15006",
            "oifname \"lo\" meta skuid != 1337 return",
            "meta skuid 1337 return",
            "oifname \"lo\" ip daddr != 127.0.0.1/32 meta skgid 1337 redirect to :15006",
            "oifname \"lo\" ip6 daddr != ::1/128 meta skgid 1337 redirect to :15006",
            "oifname \"lo\" meta skgid != 1337 return",
            "meta skgid 1337 return",
            "ip daddr 127.0.0.1/32 return",
            "ip6 daddr ::1/128 return",
            "redirect to :15001",
        ]
    );
}

#[test]
fn lists_select_and_exclusions_come_first() {
    let capture = Capture {
        inbound_ports: Selection::Only(vec![8080, 15020]),
        outbound_ranges: Selection::Only(Capture::ranges("10.96.0.0/12, fd00::/8,192.0.2.7").unwrap()),
        excluded_outbound_ranges: Capture::ranges("10.96.0.1").unwrap(),
        outbound_ports: vec![443],
        excluded_outbound_ports: vec![25],
        ..default_capture()
    };
    let [inbound, outbound] = &capture.chains()[..] else { panic!("two chains") };
    assert_eq!(text(inbound)[3..], ["tcp dport 15020 return", "tcp dport 8080 redirect to :15006", "tcp dport 15020 redirect to :15006"]);
    let outbound = text(outbound);
    assert_eq!(outbound[1], "tcp dport 25 return");
    assert_eq!(
        outbound[outbound.len() - 5..],
        [
            "ip daddr 10.96.0.1/32 return",
            "tcp dport 443 redirect to :15001",
            "ip daddr 10.96.0.0/12 redirect to :15001",
            "ip6 daddr fd00::/8 redirect to :15001",
            "ip daddr 192.0.2.7/32 redirect to :15001",
        ]
    );
}

#[test]
fn an_empty_list_captures_nothing() {
    let capture = Capture { inbound_ports: Selection::Only(vec![]), outbound_ranges: Selection::Only(vec![]), ..default_capture() };
    let chains = capture.chains();
    assert!(!text(&chains[0]).iter().any(|rule| rule.contains("redirect")));
    assert!(!text(&chains[1]).iter().any(|rule| rule.contains(":15001")));
}

#[test]
fn loopback_is_captured_where_it_is_asked_for() {
    let capture = Capture { outbound_ranges: Selection::Only(Capture::ranges("127.1.2.0/24").unwrap()), ..default_capture() };
    let outbound = text(&capture.chains()[1]);
    assert!(!outbound.contains(&"oifname \"lo\" meta skuid != 1337 return".to_owned()), "{outbound:#?}");
}

#[rstest]
#[case("80,http", CaptureError::Port("http".to_owned()))]
#[case("0", CaptureError::Port("0".to_owned()))]
#[case("70000", CaptureError::Port("70000".to_owned()))]
fn wrong_ports_are_named(#[case] text: &str, #[case] error: CaptureError) {
    assert_eq!(Capture::ports(text), Err(error));
}

#[test]
fn wrong_ranges_are_named() {
    assert_eq!(Capture::ranges("10.0.0.0/33"), Err(CaptureError::Range("10.0.0.0/33".to_owned())));
    assert_eq!(Selection::read(" * ", Capture::ranges), Ok(Selection::All));
    assert_eq!(Selection::read("", Capture::ports), Ok(Selection::Only(vec![])));
}

#[test]
fn a_rule_has_the_kernels_bytes() {
    let chain = Chain { name: "output", hook: Hook::Output, rules: vec![] };
    let rule = Rule::redirect([Match::User(1337)], 15001);
    let message = rule_message(&chain, &rule);
    let expressions = message.attributes.iter().find(|a| matches!(a, RuleAttribute::Expressions(_))).unwrap();
    let mut bytes = vec![0; expressions.buffer_len()];
    expressions.emit(&mut bytes);
    // meta (key 10: user id → register 1), cmp (register 1 == 1337 in the machine's order), immediate (15001 → register 1), redir.
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let meta = "24000180 09000100 6d65746100000000 14000280 0800010000000001 080002000000000a";
    let cmp = "2c000180 08000100 636d7000 20000280 0800010000000001 0800020000000000 0c000380 0800010039050000";
    let immediate = "2c000180 0e000100 696d6d6564696174650000 00 18000280 0800010000000001 0c000280 060001003a990000";
    let redir = "1c000180 0a000100 7265646972000000 0c000280 0800010000000001";
    let expected: String = [meta, cmp, immediate, redir].concat().replace(' ', "");
    assert_eq!(hex[8..], expected);
}

#[test]
fn a_transaction_replaces_the_whole_table() {
    let steps = transaction(&default_capture().chains());
    let what: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
    assert_eq!(what[..4], ["begin", "add table inet ferromesh", "delete table inet ferromesh", "add table inet ferromesh"]);
    assert_eq!(what.last(), Some(&"commit"));
    assert!((0..).zip(&steps).all(|(number, step)| step.message.header.sequence_number == number));
}

// The real thing: this test starts itself again in a network namespace of its own, which ends with the process.

const INSIDE: &str = "FERROMESH_TEST_IN_NAMESPACE";
const THIS: &str = "agent::redirect::tests::rules_capture_real_connections";

#[test]
fn rules_capture_real_connections() {
    if env::var_os(INSIDE).is_some() {
        return in_namespace();
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(THIS, "only root can make a network namespace");
    }
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(env::current_exe().unwrap())
        .args([THIS, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// An address of the pod, and one that only the other side of a cable has.
const POD: &str = "10.9.0.1";
const CLIENT: &str = "10.9.0.2";
const SERVICE: &str = "10.96.7.7";
/// An IPv6 address of the pod.
const POD_V6: &str = "fd00:9::1";

fn in_namespace() {
    // A second namespace on a cable: inbound connections have to come from outside.
    let outside = Outside::new();
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["link", "add", "pod0", "type", "veth", "peer", "name", "client0", "netns", &outside.pid()]);
    run("ip", &["addr", "add", &format!("{POD}/24"), "dev", "pod0"]);
    run("ip", &["-6", "addr", "add", &format!("{POD_V6}/64"), "dev", "pod0", "nodad"]);
    run("ip", &["link", "set", "pod0", "up"]);
    outside.run("ip", &["addr", "add", &format!("{CLIENT}/24"), "dev", "client0"]);
    outside.run("ip", &["link", "set", "client0", "up"]);
    run("ip", &["route", "add", "default", "via", CLIENT]);
    for port in [OUTBOUND, INBOUND, 8080, 15020] {
        answer_with_port(port);
    }
    assert_eq!(as_user(0, SERVICE, 80), None, "nothing answers for the Service before the rules");

    let capture = Capture {
        excluded_outbound_ports: vec![25],
        excluded_outbound_ranges: Capture::ranges("192.0.2.0/24").unwrap(),
        ..default_capture()
    };
    // Twice: the second call replaces what the first one left.
    install(&capture.chains()).unwrap();
    install(&capture.chains()).unwrap();
    assert_eq!(shapes(&installed()), shapes(&expected(&capture)));

    assert_eq!(as_user(0, SERVICE, 80), Some(OUTBOUND), "an application's call leaves through the proxy");
    assert_eq!(as_user(0, SERVICE, 25), None, "an excluded port is left alone");
    assert_eq!(as_user(0, "192.0.2.9", 80), None, "an excluded range is left alone");
    assert_eq!(as_user(0, POD, 8080), Some(8080), "an application's call of itself is its own matter");
    assert_eq!(as_user(0, "127.0.0.1", 8080), Some(8080), "localhost is the pod's own");
    assert_eq!(as_user(0, "[::1]", 8080), Some(8080), "localhost is the pod's own, in IPv6 too");
    assert_eq!(as_user(PROXY, SERVICE, 80), None, "the proxy's own calls are not captured");
    assert_eq!(as_user(PROXY, "127.0.0.1", 8080), Some(8080), "the proxy reaches the application");
    assert_eq!(as_user(PROXY, POD, 8080), Some(INBOUND), "a call that was balanced onto its own pod comes in as any other");
    assert_eq!(as_user(PROXY, &format!("[{POD_V6}]"), 8080), Some(INBOUND), "the same in IPv6");
    assert_eq!(from_inbound_source(8080), Some(8080), "what the proxy lets in reaches the application");
    assert_eq!(outside.connect(POD, 8080), Some(INBOUND), "inbound calls go through the proxy");
    assert_eq!(outside.connect(POD, 15020), Some(15020), "the agent's own port is left alone");

    let only = Capture { inbound_ports: Selection::Only(vec![9000]), outbound_ranges: Selection::Only(vec![]), ..default_capture() };
    install(&only.chains()).unwrap();
    assert_eq!(outside.connect(POD, 8080), Some(8080), "only listed ports are captured");
    assert_eq!(outside.connect(POD, 9000), Some(INBOUND), "a listed port is captured, whoever listens");
    assert_eq!(as_user(0, SERVICE, 80), None, "no outbound call is captured");
}

/// A process in another network namespace, which ends with it.
struct Outside(Child);

// === impl Outside ===

impl Outside {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", "echo ready; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let namespace = format!("--net=/proc/{}/ns/net", self.pid());
        run("nsenter", &[&[namespace.as_str(), "--", program], arguments].concat());
    }

    fn connect(&self, host: &str, port: u16) -> Option<u16> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid())).args(["--", "bash", "-c", &dial(host, port)]);
        answered(command)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // Its standard input ends, and so does it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Answers each connection on `port` with the port's number.
fn answer_with_port(port: u16) {
    let listener = TcpListener::bind(SocketAddr::from(([0u16; 8], port))).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = writeln!(stream.unwrap(), "{port}");
        }
    });
}

/// Which port's listener answers when a process of `user` connects; `None` for nobody.
fn as_user(user: u32, host: &str, port: u16) -> Option<u16> {
    let mut command = Command::new("bash");
    command.args(["-c", &dial(host, port)]).uid(user).gid(user);
    answered(command)
}

fn dial(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']);
    format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{host}/{port} && cat <&3'")
}

fn answered(mut command: Command) -> Option<u16> {
    let output = command.stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

/// What Envoy's inbound listener does: connects to the pod's address from 127.0.0.6.
fn from_inbound_source(port: u16) -> Option<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 6], 0).into()).unwrap();
        let address: SocketAddr = format!("{POD}:{port}").parse().unwrap();
        tokio::time::timeout(Duration::from_secs(1), socket.connect(address)).await.unwrap().unwrap().into_std().unwrap()
    });
    read_port(stream)
}

fn read_port(mut stream: TcpStream) -> Option<u16> {
    stream.set_nonblocking(false).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn expected(capture: &Capture) -> Vec<RuleMessage> {
    capture.chains().iter().flat_map(|chain| chain.rules.iter().map(|rule| rule_message(chain, rule))).collect()
}

/// Every rule of our table, as the kernel has it.
fn installed() -> Vec<RuleMessage> {
    let request = NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0),
        NfTablesMessage::GetRule(RuleMessage { attributes: vec![RuleAttribute::Table(TABLE.to_owned())] }),
    );
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&NetlinkAddr::new(0, 0)).unwrap();
    socket.send(&bytes, 0).unwrap();
    let mut rules = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full().unwrap();
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest).unwrap();
            match message.payload {
                NetlinkPayload::Done(_) => return rules,
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)),
                    ..
                }) => rules.push(rule),
                other => panic!("{other:?}"),
            }
            rest = &rest[(message.header.length as usize).next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// Chain and expressions of each rule. The kernel adds attributes of its own to an expression, so names are what is compared.
fn shapes(rules: &[RuleMessage]) -> Vec<(String, Vec<String>)> {
    let names = |expressions: &[ListAttribute<ExpressionAttribute>]| {
        let elements = expressions.iter().filter_map(|expression| match expression {
            ListAttribute::Element(attributes) => Some(attributes),
            _ => None,
        });
        let named = elements.flatten().filter_map(|attribute| match attribute {
            ExpressionAttribute::Name(name) => Some(name.clone()),
            _ => None,
        });
        named.collect::<Vec<_>>()
    };
    let shape = |rule: &RuleMessage| {
        let mut shape = (String::new(), Vec::new());
        for attribute in &rule.attributes {
            match attribute {
                RuleAttribute::Chain(chain) => shape.0.clone_from(chain),
                RuleAttribute::Expressions(expressions) => shape.1 = names(expressions),
                _ => {}
            }
        }
        shape
    };
    rules.iter().map(shape).collect()
}
