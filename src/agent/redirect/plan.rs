//! From what a pod asks for to rules, with the meaning that the reference's rules have.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    capture::{Capture, DnsCapture, Selection},
    rule::{Action, Chain, Hook, LOOPBACK, Match, Rule, Rules, Stage},
};
use crate::model::{InterceptionMode, TRANSPARENT_MARK};

/// The address that Envoy's inbound connections to the application come from: how they are told from others.
const INBOUND_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6, where it is no address of the loopback interface by itself.
const INBOUND_SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));
const LOCALHOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
/// Where names are asked for.
const DNS: u16 = 53;
/// Connections of the proxy to DNS servers, and those of the application that are redirected, are tracked apart: one may come from the
/// port that the other one came from a moment ago, and would be taken for it.
const PROXY_ZONE: u16 = 1;
const APPLICATION_ZONE: u16 = 2;

impl Capture {
    /// The rules that do it.
    pub fn rules(&self) -> Rules {
        if self.mode == InterceptionMode::None {
            return Rules { chains: Vec::new(), loopback: Vec::new(), mark: None };
        }
        let mut chains = Vec::new();
        if let Some(dns) = &self.dns {
            chains.push(Chain { stage: Stage::Raw, hook: Hook::Prerouting, rules: answers_apart(dns) });
            chains.push(Chain { stage: Stage::Raw, hook: Hook::Output, rules: self.queries_apart(dns) });
        }
        let transparent = self.mode == InterceptionMode::Tproxy;
        if transparent {
            let restored = Rule::new([Match::ConnectionMark(TRANSPARENT_MARK)], Action::RestoreMark);
            chains.push(Chain { stage: Stage::Mangle, hook: Hook::Prerouting, rules: self.given() });
            chains.push(Chain { stage: Stage::Mangle, hook: Hook::Output, rules: vec![restored] });
        }
        chains.push(Chain { stage: Stage::Nat, hook: Hook::Prerouting, rules: self.redirected_inbound() });
        chains.push(Chain { stage: Stage::Nat, hook: Hook::Output, rules: self.outbound() });
        Rules { chains, loopback: vec![INBOUND_SOURCE_V6], mark: transparent.then_some(TRANSPARENT_MARK) }
    }

    /// New connections that come in from outside.
    fn redirected_inbound(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.excluded_interfaces.iter().map(|name| Rule::pass([Match::From(name.clone())])).collect();
        for interface in &self.virtual_interfaces {
            rules.extend(self.of_virtual_machine(&Match::From(interface.clone())));
        }
        if self.mode == InterceptionMode::Redirect {
            rules.extend(self.excluded_inbound_ports.iter().map(|port| Rule::pass([Match::Port(*port)])));
            rules.extend(self.inbound_matches().into_iter().map(|port| Rule::redirect([port], self.inbound_port)));
        }
        rules
    }

    /// What tells inbound connections to capture from others: nothing but that they are TCP, or one of their ports.
    fn inbound_matches(&self) -> Vec<Match> {
        match &self.inbound_ports {
            Selection::All => vec![Match::Tcp],
            Selection::Only(ports) => ports.iter().copied().map(Match::Port).collect(),
        }
    }

    /// What a virtual machine's applications call. Nobody knows who they are, so that users and groups do not count.
    fn of_virtual_machine(&self, from: &Match) -> Vec<Rule> {
        let at = |more: Match| [from.clone(), more];
        let mut rules: Vec<Rule> = self.excluded_outbound_ports.iter().map(|port| Rule::pass(at(Match::Port(*port)))).collect();
        rules.extend(self.excluded_outbound_ranges.iter().map(|range| Rule::pass(at(Match::Destination(*range)))));
        rules.extend(self.wanted_outbound().into_iter().map(|matches| {
            let matches: Vec<Match> = std::iter::once(from.clone()).chain(matches).collect();
            Rule::redirect(matches, self.outbound_port)
        }));
        rules.push(Rule::pass([from.clone()]));
        rules
    }

    /// What outbound connections are captured by.
    fn wanted_outbound(&self) -> Vec<Vec<Match>> {
        let mut wanted: Vec<Vec<Match>> = self.outbound_ports.iter().map(|port| vec![Match::Port(*port)]).collect();
        match &self.outbound_ranges {
            Selection::All => wanted.push(vec![Match::Tcp]),
            Selection::Only(ranges) => wanted.extend(ranges.iter().map(|range| vec![Match::Destination(*range), Match::Tcp])),
        }
        wanted
    }

    /// Packets that come in from outside and keep their addresses on the way to the proxy.
    fn given(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.excluded_interfaces.iter().map(|name| Rule::pass([Match::From(name.clone())])).collect();
        // Envoy's own connections to the application come from the clients' addresses. The application's answers have to find back here,
        // and not to the client.
        rules.push(Rule::new([Match::Mark(TRANSPARENT_MARK)], Action::SaveMark));
        rules.push(Rule::pass([Match::Mark(TRANSPARENT_MARK)]));
        rules.push(Rule::pass([Match::From(LOOPBACK.to_owned())]));
        rules.extend(self.virtual_interfaces.iter().map(|name| Rule::pass([Match::From(name.clone())])));
        rules.extend(self.excluded_inbound_ports.iter().map(|port| Rule::pass([Match::Port(*port)])));
        for port in self.inbound_matches() {
            rules.push(Rule::new([port.clone()], Action::Give { port: self.inbound_port, mark: TRANSPARENT_MARK }));
            // Where no proxy listens, nobody gets past it.
            rules.push(Rule::new([port, Match::Opening], Action::Drop));
        }
        rules
    }

    /// New connections that a process of the pod opens.
    fn outbound(&self) -> Vec<Rule> {
        let to_loopback = || Match::To(LOOPBACK.to_owned());
        let mut rules: Vec<Rule> = self.excluded_interfaces.iter().map(|name| Rule::pass([Match::To(name.clone())])).collect();
        if let Some(dns) = self.dns.as_ref().filter(|_| !self.excluded_outbound_ports.contains(&DNS)) {
            rules.extend(self.own().map(|own| Rule::pass([Match::UdpPort(DNS), own])));
            rules.extend(self.spared().into_iter().map(|mut other| {
                other.insert(0, Match::UdpPort(DNS));
                Rule::pass(other)
            }));
            rules.extend(dns.matches(Match::UdpPort(DNS)).map(|query| Rule::redirect(query, dns.port)));
        }
        rules.extend(self.excluded_outbound_ports.iter().map(|port| Rule::pass([Match::Port(*port)])));
        for source in [INBOUND_SOURCE, INBOUND_SOURCE_V6] {
            rules.push(Rule::pass([Match::Source(source.into()), to_loopback()]));
        }
        if self.mode == InterceptionMode::Tproxy {
            rules.push(Rule::pass([Match::Mark(TRANSPARENT_MARK)]));
        }
        if self.dns.is_some() {
            rules.extend(self.own().map(|own| Rule::pass([Match::Port(DNS), own])));
        }
        // The proxy reached its own pod: the application called its own Service and was balanced onto itself. The call has to come in
        // as any other would.
        for own in self.own() {
            rules.extend(LOCALHOSTS.map(|address| {
                let elsewhere = Match::NotDestination(address.into());
                Rule::redirect([to_loopback(), elsewhere, own.clone(), Match::Tcp], self.inbound_port)
            }));
        }
        rules.extend(self.own().map(|own| Rule::pass([own])));
        rules.extend(self.spared().into_iter().map(Rule::pass));
        if let Some(dns) = &self.dns {
            rules.extend(dns.matches(Match::Port(DNS)).map(|query| Rule::redirect(query, dns.port)));
        }
        // An application that calls itself by its own address does not need the proxy, unless it asked for loopback to be captured.
        if !self.captures_loopback() {
            rules.push(Rule::pass([to_loopback()]));
        }
        // Who names localhost means his own pod.
        rules.extend(LOCALHOSTS.map(|address| Rule::pass([Match::Destination(address.into())])));
        rules.extend(self.excluded_outbound_ranges.iter().map(|range| Rule::pass([Match::Destination(*range)])));
        rules.extend(self.wanted_outbound().into_iter().map(|matches| Rule::redirect(matches, self.outbound_port)));
        rules
    }

    /// What tells the proxy's connections from the application's. One of these is enough.
    fn own(&self) -> impl Iterator<Item = Match> {
        self.users.iter().copied().map(Match::User).chain(self.groups.iter().copied().map(Match::Group))
    }

    /// The applications whose connections are left alone: all of one of these hold.
    fn spared(&self) -> Vec<Vec<Match>> {
        let mut spared: Vec<Vec<Match>> = self.excluded_outbound_groups.iter().map(|id| vec![Match::Group(*id)]).collect();
        if let Selection::Only(groups) = &self.outbound_groups {
            spared.push(groups.iter().copied().map(Match::NotGroup).collect());
        }
        spared
    }

    fn captures_loopback(&self) -> bool {
        match &self.outbound_ranges {
            Selection::All => false,
            Selection::Only(ranges) => ranges.iter().any(|range| range.addr().is_loopback()),
        }
    }

    /// Sorts queries into zones.
    fn queries_apart(&self, dns: &DnsCapture) -> Vec<Rule> {
        let by_proxy = self.own().flat_map(|own| {
            [
                Rule::new([Match::UdpPort(DNS), own.clone()], Action::Zone(PROXY_ZONE)),
                Rule::pass([Match::UdpPort(DNS), own.clone()]),
                Rule::new([Match::UdpSourcePort(dns.port), own], Action::Zone(APPLICATION_ZONE)),
            ]
        });
        by_proxy.chain(dns.matches(Match::UdpPort(DNS)).map(|query| Rule::new(query, Action::Zone(APPLICATION_ZONE)))).collect()
    }
}

/// Sorts the servers' answers to the proxy into its zone.
fn answers_apart(dns: &DnsCapture) -> Vec<Rule> {
    let answers: Vec<Vec<Match>> = match &dns.resolvers {
        Selection::All => vec![vec![Match::UdpSourcePort(DNS)]],
        Selection::Only(servers) => servers.iter().map(|it| vec![Match::UdpSourcePort(DNS), Match::Source(IpNet::from(*it))]).collect(),
    };
    answers.into_iter().map(|answer| Rule::new(answer, Action::Zone(PROXY_ZONE))).collect()
}

// === impl DnsCapture ===

impl DnsCapture {
    /// What tells queries to capture, of those that are `asked` so.
    fn matches(&self, asked: Match) -> impl Iterator<Item = Vec<Match>> {
        match &self.resolvers {
            Selection::All => vec![vec![asked]],
            Selection::Only(servers) => servers.iter().map(|it| vec![asked.clone(), Match::Destination(IpNet::from(*it))]).collect(),
        }
        .into_iter()
    }
}
