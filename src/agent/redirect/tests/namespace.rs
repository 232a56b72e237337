//! Redirection at work, by both of the kernel's interfaces.

use std::{
    fs::File,
    io::Write,
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
};

use super::{INBOUND, OUTBOUND, PROXY, everything, transparent};
use crate::agent::redirect::{Backend, Capture, DnsCapture, Selection, apply, apply_in, verify};
use crate::model::InterceptionMode;
use crate::testing::block_on;
use crate::testing::pod::{
    CLIENT, CLIENT_V6, OUTSIDE, Outside, POD, POD_V6, SERVICE, SERVICE_V6, answer, answer_datagrams, answer_with_port, as_user, ask,
    call_as, has, in_namespace, read, run,
};

const TESTS: &str = "agent::redirect::tests::namespace::";
/// Somebody who is not the proxy.
const APPLICATION: u32 = 1000;

/// Puts rules in place by an interface: twice, so that the second call replaces what the first one left.
fn put(capture: &Capture, backend: Backend) {
    for _ in 0..2 {
        assert_eq!(apply(&capture.rules(), backend).unwrap(), if backend == Backend::Auto { Backend::Nftables } else { backend });
    }
}

#[test]
fn rules_capture_real_connections() {
    in_namespace(&format!("{TESTS}rules_capture_real_connections"), || connections(Backend::Auto));
}

#[test]
fn rules_of_iptables_capture_the_same() {
    let this = format!("{TESTS}rules_of_iptables_capture_the_same");
    if has(&this, "iptables-restore") {
        in_namespace(&this, || connections(Backend::Iptables));
    }
}

fn connections(backend: Backend) {
    let outside = Outside::beside_this_pod();
    for port in [OUTBOUND, INBOUND, 8080, 15020] {
        answer_with_port(port);
    }
    for port in [80, 25] {
        outside.answer(port);
    }
    let application = |host: &str, port| call_as(APPLICATION, APPLICATION, host, port);
    let proxy = |host: &str, port| call_as(PROXY, PROXY, host, port);
    let went_to = |port: u16| Some(port.to_string());
    let left = Some(OUTSIDE.to_owned());
    assert_eq!(application(SERVICE, 80), left, "before there are rules");
    assert_eq!(application(SERVICE_V6, 80), left, "before there are rules");

    put(
        &Capture {
            excluded_outbound_ports: vec![25],
            excluded_outbound_ranges: Capture::ranges("10.9.0.0/24,fd00:9::/64").unwrap(),
            ..Capture::usual()
        },
        backend,
    );
    for (pod, client, service, localhost) in [(POD, CLIENT, SERVICE, "127.0.0.1"), (POD_V6, CLIENT_V6, SERVICE_V6, "::1")] {
        assert_eq!(application(service, 80), went_to(OUTBOUND), "an application's call leaves through the proxy");
        assert_eq!(application(service, 25), left, "an excluded port is left alone");
        assert_eq!(application(client, 80), left, "an excluded range is left alone");
        assert_eq!(application(pod, 8080), went_to(8080), "an application's call of itself is its own matter");
        assert_eq!(application(localhost, 8080), went_to(8080), "localhost is the pod's own");
        assert_eq!(proxy(service, 80), left, "the proxy's own calls are not captured");
        assert_eq!(call_as(0, PROXY, service, 80), left, "nor are those of a proxy that is known by its group alone");
        assert_eq!(proxy(localhost, 8080), went_to(8080), "the proxy reaches the application");
        assert_eq!(proxy(pod, 8080), went_to(INBOUND), "a call that was balanced onto its own pod comes in as any other");
        assert_eq!(call_as(0, PROXY, pod, 8080), went_to(INBOUND), "the same by the group alone");
        assert_eq!(outside.call(pod, 8080).as_deref(), Some("15006"), "inbound calls go through the proxy");
        assert_eq!(outside.call(pod, 15020).as_deref(), Some("15020"), "the agent's own port is left alone");
    }
    for (source, pod) in [("127.0.0.6", POD), ("::6", POD_V6)] {
        assert_eq!(from(source, pod, 8080), went_to(8080), "what the proxy lets in reaches the application");
    }

    put(&Capture { inbound_ports: Selection::Only(vec![9000]), outbound_ranges: Selection::Only(vec![]), ..Capture::usual() }, backend);
    assert_eq!(outside.call(POD, 8080).as_deref(), Some("8080"), "only listed ports are captured");
    assert_eq!(outside.call(POD, 9000).as_deref(), Some("15006"), "a listed port is captured, whoever listens");
    assert_eq!(application(SERVICE, 80), left, "no outbound call is captured");

    let range = Selection::Only(Capture::ranges("10.96.0.0/12").unwrap());
    put(&Capture { outbound_ranges: range, outbound_ports: vec![25], ..Capture::usual() }, backend);
    assert_eq!(application(SERVICE, 80), went_to(OUTBOUND), "a listed range is captured");
    assert_eq!(application(SERVICE_V6, 80), left, "others are not");
    assert_eq!(application(SERVICE_V6, 25), went_to(OUTBOUND), "but for a port that is listed");

    put(&Capture { outbound_groups: Selection::Only(vec![2000]), excluded_outbound_groups: vec![3000], ..Capture::usual() }, backend);
    let of_group = |group| call_as(APPLICATION, group, SERVICE, 80);
    assert_eq!((of_group(2000), of_group(2001), of_group(3000)), (went_to(OUTBOUND), left.clone(), left.clone()));
    put(&Capture { excluded_outbound_groups: vec![3000], ..Capture::usual() }, backend);
    assert_eq!((of_group(2000), of_group(3000)), (went_to(OUTBOUND), left.clone()));

    put(&Capture { excluded_interfaces: vec!["pod0".to_owned()], ..Capture::usual() }, backend);
    assert_eq!(application(SERVICE, 80), left, "nothing that leaves by the interface is captured");
    assert_eq!(outside.call(POD, 8080).as_deref(), Some("8080"), "and nothing that comes in there");

    put(&Capture { virtual_interfaces: vec!["pod0".to_owned()], excluded_outbound_ports: vec![8080], ..Capture::usual() }, backend);
    assert_eq!(outside.call(POD, 80).as_deref(), Some("15001"), "what comes from a virtual machine is outbound");
    assert_eq!(outside.call(POD, 8080).as_deref(), Some("8080"), "unless its port is excluded");
}

/// What Envoy's inbound listener does: connects to the pod's address from an address of its own.
fn from(source: &str, host: &str, port: u16) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let is_ipv6 = source.contains(':');
        let socket = if is_ipv6 { tokio::net::TcpSocket::new_v6() } else { tokio::net::TcpSocket::new_v4() }.unwrap();
        socket.bind((source.parse::<std::net::IpAddr>().unwrap(), 0).into()).unwrap();
        let address = (host.parse::<std::net::IpAddr>().unwrap(), port).into();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    read(&stream)
}

#[test]
fn dns_queries_go_to_the_agent() {
    in_namespace(&format!("{TESTS}dns_queries_go_to_the_agent"), || dns(Backend::Auto));
}

#[test]
fn iptables_sends_dns_queries_to_the_agent() {
    let this = format!("{TESTS}iptables_sends_dns_queries_to_the_agent");
    if has(&this, "iptables-restore") {
        in_namespace(&this, || dns(Backend::Iptables));
    }
}

fn dns(backend: Backend) {
    let outside = Outside::beside_this_pod();
    for server in [SERVICE, SERVICE_V6, CLIENT, CLIENT_V6] {
        answer_datagrams(outside.socket(server, 53), OUTSIDE);
    }
    outside.answer(53);
    answer_with_port(OUTBOUND);
    for localhost in ["127.0.0.1", "::1"] {
        answer(TcpListener::bind((localhost, 15053)).unwrap(), |_, _| "agent".to_owned());
        // The agent is the proxy's user, and so are its answers.
        answer_datagrams(as_user(PROXY, PROXY, || UdpSocket::bind((localhost, 15053)).unwrap()), "agent");
    }
    let (agent, left) = (Some("agent".to_owned()), Some(OUTSIDE.to_owned()));
    let ask_as = |user, group, host: &str, from: u16| {
        as_user(user, group, || {
            let any = if host.contains(':') { "::" } else { "0.0.0.0" };
            ask(&UdpSocket::bind((any, from)).unwrap(), host, 53)
        })
    };
    let application = |host: &str| (ask_as(APPLICATION, APPLICATION, host, 0), call_as(APPLICATION, APPLICATION, host, 53));
    let resolvers = Selection::Only([SERVICE, SERVICE_V6].map(|it| it.parse().unwrap()).into());
    let capture = Capture { dns: Some(DnsCapture { port: 15053, resolvers }), ..Capture::usual() };
    put(&capture, backend);
    for (service, client) in [(SERVICE, CLIENT), (SERVICE_V6, CLIENT_V6)] {
        assert_eq!(application(service), (agent.clone(), agent.clone()), "by both protocols");
        assert_eq!(application(client), (left.clone(), Some(OUTBOUND.to_string())), "servers that the pod does not know are left alone");
        assert_eq!(
            (ask_as(PROXY, PROXY, service, 0), call_as(PROXY, PROXY, service, 53)),
            (left.clone(), left.clone()),
            "the agent asks on"
        );
        // The kernel remembers the application's query from that port for half a minute.
        assert_eq!(ask_as(APPLICATION, APPLICATION, service, 4053), agent, "from a port");
        assert_eq!(ask_as(PROXY, PROXY, service, 4053), left, "from the same port");
        assert_eq!(ask_as(APPLICATION, APPLICATION, service, 4053), agent, "and again");
    }
    put(&Capture { excluded_outbound_groups: vec![3000], ..capture.clone() }, backend);
    assert_eq!(ask_as(APPLICATION, 3000, SERVICE, 0), left, "a group that is left alone asks for itself");
    put(&Capture { excluded_outbound_ports: vec![53], ..capture.clone() }, backend);
    assert_eq!(application(SERVICE), (left.clone(), left), "an excluded port is left alone");
    put(&Capture { dns: Some(DnsCapture { port: 15053, resolvers: Selection::All }), ..capture }, backend);
    assert_eq!(application(CLIENT), (agent.clone(), agent), "every server is meant");
}

#[test]
fn what_is_printed_is_what_the_kernel_gets() {
    let this = format!("{TESTS}what_is_printed_is_what_the_kernel_gets");
    if has(&this, "nft") {
        in_namespace(&this, || {
            run("ip", &["link", "set", "lo", "up"]);
            for capture in [Capture::usual(), everything(), transparent()] {
                let rules = capture.rules();
                apply(&rules, Backend::Nftables).unwrap();
                let written = listed();
                run("nft", &["flush", "ruleset"]);
                let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
                write!(nft.stdin.take().unwrap(), "{rules}").unwrap();
                assert!(nft.wait().unwrap().success(), "{rules}");
                similar_asserted(&written, &listed());
            }
        });
    }
}

fn similar_asserted(ours: &str, theirs: &str) {
    assert!(ours == theirs && ours.contains("redirect to :15001"), "ours:\n{ours}\nnft's own:\n{theirs}");
}

fn listed() -> String {
    let output = Command::new("nft").args(["--numeric", "list", "table", "inet", "ferromesh"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rules_can_be_put_into_another_namespace() {
    in_namespace(&format!("{TESTS}rules_can_be_put_into_another_namespace"), || {
        let outside = Outside::beside_this_pod();
        answer_with_port(8080);
        outside.answer(OUTBOUND);
        let rules = Capture::usual().rules();
        assert_eq!(outside.call(POD, 8080).as_deref(), Some("8080"));
        apply_in(&File::open(outside.namespace()).unwrap(), &rules, Backend::Auto).unwrap();
        assert_eq!(outside.call(POD, 8080).as_deref(), Some(OUTSIDE), "a call from there is captured there");
        assert_eq!(call_as(APPLICATION, APPLICATION, POD, 8080).as_deref(), Some("8080"), "and none from here");
        let error = apply_in(&File::open("/dev/null").unwrap(), &rules, Backend::Auto).unwrap_err();
        assert_eq!(error.to_string(), "can't enter the network namespace");
    });
}

#[test]
fn redirection_is_looked_for_by_connections() {
    in_namespace(&format!("{TESTS}redirection_is_looked_for_by_connections"), || {
        let _outside = Outside::beside_this_pod();
        let capture = Capture::usual();
        let looked =
            |capture: &Capture, user| as_user(user, user, || block_on(verify(capture, user, user)).map_err(|error| error.to_string()));
        for (user, called, port) in [(PROXY, "127.0.0.6:15002", INBOUND), (APPLICATION, "192.0.2.1:15002", OUTBOUND)] {
            let error = looked(&capture, user).unwrap_err();
            assert!(error.starts_with(&format!("a connection to {called} was not redirected to port {port}")), "{error}");
        }
        for capture in [capture.clone(), transparent(), Capture { outbound_groups: Selection::All, ..everything() }] {
            put(&capture, Backend::Auto);
            for user in [PROXY, APPLICATION] {
                assert_eq!(looked(&capture, user), Ok(()), "{user}");
            }
        }
        let taken = TcpListener::bind(("127.0.0.1", INBOUND)).unwrap();
        assert_eq!(looked(&capture, PROXY).unwrap_err(), "can't listen on 127.0.0.1:15006 in the proxy's place");
        drop(taken);
        assert_eq!(looked(&Capture { mode: InterceptionMode::None, ..capture }, PROXY), Ok(()), "nothing is to be redirected");
    });
}
