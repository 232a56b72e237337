//! Rules as text, as bytes, and at work in network namespaces of their own.

mod namespace;
mod transparent;

use netlink_packet_core::Emitable;
use netlink_packet_netfilter::nftables::RuleAttribute;
use rstest::rstest;

use super::{
    Capture, CaptureError, Chain, DnsCapture, Family, Hook, Match, Rule, Selection, Stage,
    encode::{rule_message, transaction},
    restore_input,
};
use crate::model::InterceptionMode;

const OUTBOUND: u16 = 15001;
const INBOUND: u16 = 15006;
const PROXY: u32 = 1337;

/// Everything that can be asked for, but for transparent interception.
fn everything() -> Capture {
    Capture {
        users: vec![PROXY, 1338],
        inbound_ports: Selection::Only(vec![8080, 15020]),
        outbound_ranges: Selection::Only(Capture::ranges("10.96.0.0/12, fd00::/8,192.0.2.7").unwrap()),
        excluded_outbound_ranges: Capture::ranges("10.96.0.1").unwrap(),
        outbound_ports: vec![443],
        excluded_outbound_ports: vec![25],
        outbound_groups: Selection::Only(vec![2000, 2001]),
        excluded_outbound_groups: vec![3000],
        excluded_interfaces: Capture::interfaces("net1, net2").unwrap(),
        virtual_interfaces: Capture::interfaces("k6t-eth0").unwrap(),
        dns: Some(DnsCapture {
            port: 15053,
            resolvers: Selection::Only(["10.96.0.10", "fd00:96::10"].map(|it| it.parse().unwrap()).into()),
        }),
        ..Capture::usual()
    }
}

fn transparent() -> Capture {
    Capture { mode: InterceptionMode::Tproxy, ..Capture::usual() }
}

/// The rules in both programs' words.
fn golden(capture: &Capture) -> String {
    let rules = capture.rules();
    let iptables = |family| restore_input(&rules.chains, family, |_| true);
    format!("{rules}\n--- iptables-restore\n{}\n--- ip6tables-restore\n{}", iptables(Family::V4), iptables(Family::V6))
}

#[test]
fn rules_are_these() {
    insta::assert_snapshot!("by_default", golden(&Capture::usual()));
    insta::assert_snapshot!("with_everything", golden(&everything()));
    insta::assert_snapshot!("transparent", golden(&transparent()));
    let all_dns = Some(DnsCapture { port: 15053, resolvers: Selection::All });
    insta::assert_snapshot!("dns_of_all_servers", golden(&Capture { dns: all_dns, ..Capture::usual() }));
}

fn text(capture: &Capture, stage: Stage, hook: Hook) -> Vec<String> {
    let chains = capture.rules().chains;
    let chain = chains.iter().find(|chain| (chain.stage, chain.hook) == (stage, hook)).unwrap();
    chain.rules.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_captured_where_nothing_is_to_be() {
    assert!(Capture { mode: InterceptionMode::None, ..Capture::usual() }.rules().is_empty());
}

#[test]
fn an_empty_list_captures_nothing() {
    let capture = Capture { inbound_ports: Selection::Only(vec![]), outbound_ranges: Selection::Only(vec![]), ..Capture::usual() };
    assert!(!text(&capture, Stage::Nat, Hook::Prerouting).iter().any(|rule| rule.contains("redirect")));
    assert!(!text(&capture, Stage::Nat, Hook::Output).iter().any(|rule| rule.contains(":15001")));
}

#[test]
fn loopback_is_captured_where_it_is_asked_for() {
    let capture = Capture { outbound_ranges: Selection::Only(Capture::ranges("127.1.2.0/24").unwrap()), ..Capture::usual() };
    let outbound = text(&capture, Stage::Nat, Hook::Output);
    assert!(!outbound.contains(&"oifname \"lo\" return".to_owned()), "{outbound:#?}");
}

#[test]
fn an_excluded_port_53_leaves_dns_alone() {
    let capture = Capture { excluded_outbound_ports: vec![53], ..everything() };
    let outbound = text(&capture, Stage::Nat, Hook::Output);
    assert!(!outbound.iter().any(|rule| rule.starts_with("udp")), "{outbound:#?}");
    let place = |part: &str| outbound.iter().position(|rule| rule.contains(part)).unwrap();
    assert!(place("tcp dport 53 return") < place("redirect to :15053"));
}

#[rstest]
#[case("80,http", CaptureError::Port("http".to_owned()))]
#[case("0", CaptureError::Port("0".to_owned()))]
#[case("70000", CaptureError::Port("70000".to_owned()))]
fn wrong_ports_are_named(#[case] text: &str, #[case] error: CaptureError) {
    assert_eq!(Capture::ports(text), Err(error));
}

#[test]
fn wrong_ranges_and_interfaces_are_named() {
    assert_eq!(Capture::ranges("10.0.0.0/33"), Err(CaptureError::Range("10.0.0.0/33".to_owned())));
    assert_eq!(Selection::read(" * ", Capture::ranges), Ok(Selection::All));
    assert_eq!(Selection::read("", Capture::ports), Ok(Selection::Only(vec![])));
    for wrong in ["sixteen-letters-", "a b", "a\"b", "../x"] {
        assert_eq!(Capture::interfaces(wrong), Err(CaptureError::Interface(wrong.to_owned())));
    }
}

#[test]
fn a_rule_has_the_kernels_bytes() {
    let chain = Chain { stage: Stage::Nat, hook: Hook::Output, rules: vec![] };
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
    let steps = transaction(&Capture::usual().rules().chains);
    let what: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
    assert_eq!(what[..4], ["begin", "add table inet ferromesh", "delete table inet ferromesh", "add table inet ferromesh"]);
    assert_eq!(what.last(), Some(&"commit"));
    assert!((0..).zip(&steps).all(|(number, step)| step.message.header.sequence_number == number));
}
