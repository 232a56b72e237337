//! Which DestinationRule holds for a client and a service, and what it says about one port and subset.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{hashing, input::Input, scope::Scope};
use crate::model::{DestinationRule, HostPattern, Labels, Service, Subset, TrafficPolicy};

impl<'a> Scope<'a> {
    /// The DestinationRules that hold for a service, as the proxy is concerned: of the client's namespace, else the service's, else the
    /// root namespace. Within one namespace, rules for the most specific host, the senior first; more than one only where their subsets
    /// add up.
    pub(super) fn rules_for(&self, service: &Service) -> Vec<&'a Arc<DestinationRule>> {
        // Whom a rule selects is in its own namespace, wherever else it is seen.
        self.rules_among(service, |rule, selector| self.in_namespace(&rule.origin.namespace) && self.selected_by(selector))
    }

    /// The same, with `selects` to say whether a rule's selector picks the proxy.
    fn rules_among(&self, service: &Service, selects: impl Fn(&DestinationRule, &Labels) -> bool) -> Vec<&'a Arc<DestinationRule>> {
        let host = &service.key.host;
        let rules = &self.mesh.rules;
        self.reads(Input::RulesOf(host.clone()));
        self.reads(Input::WildcardRules);
        let exact = rules.exact(host).iter().map(|rule| (0, rule));
        let covering = rules.covering(host).map(|rule| (usize::MAX - rule.host.as_str().len(), rule));
        let mut by_namespace: BTreeMap<&Arc<str>, Vec<(usize, &'a Arc<DestinationRule>)>> = BTreeMap::new();
        for (distance, rule) in exact.chain(covering) {
            let selected = rule.workload_selector.as_ref().is_none_or(|selector| selects(rule, selector));
            if selected && self.sees(rule.export_to.or(&self.settings().default_destination_rule_export_to), &rule.origin.namespace) {
                by_namespace.entry(&rule.origin.namespace).or_default().push((distance, rule));
            }
        }
        if by_namespace.is_empty() {
            return Vec::new();
        }
        let found = self.precedence(service, &by_namespace).and_then(|namespace| by_namespace.remove(&namespace));
        let mut found = found.unwrap_or_default();
        // A rule that names workloads is more specific than one for all.
        found.sort_by_key(|(distance, rule)| (rule.workload_selector.is_none(), *distance));
        let best = found.first().map(|(distance, rule)| (*distance, rule.workload_selector.is_none()));
        found.retain(|(distance, rule)| best == Some((*distance, rule.workload_selector.is_none())));
        found.into_iter().map(|(_, rule)| rule).collect()
    }

    fn precedence<T>(&self, service: &Service, by_namespace: &BTreeMap<&Arc<str>, T>) -> Option<Arc<str>> {
        let own = &service.key.namespace;
        // Whether the client is in the service's namespace makes no difference, so it is not asked.
        let others: BTreeSet<&Arc<str>> = by_namespace.keys().copied().filter(|namespace| *namespace != own).collect();
        if let Some(clients) = self.in_one_of(&others) {
            return Some(clients.clone());
        }
        if by_namespace.contains_key(own) {
            return Some(own.clone());
        }
        let root: Arc<str> = self.settings().root_namespace.as_str().into();
        by_namespace.contains_key(&root).then_some(root)
    }

    /// The names of a service's subsets, sorted.
    pub(super) fn subsets_of(&self, service: &Service) -> BTreeSet<Arc<str>> {
        self.rules_for(service).iter().flat_map(|rule| &rule.subsets).map(|subset| subset.name.clone()).collect()
    }

    /// A subset of a service.
    pub(super) fn subset(&self, service: &Service, name: &str) -> Option<&'a Subset> {
        self.rules_for(service).into_iter().flat_map(|rule| &rule.subsets).find(|subset| &*subset.name == name)
    }

    /// The policy for one port and subset of a service as far as routes to it are concerned. Few rules say anything about routes, so that
    /// a change of the others leaves routes alone.
    pub(super) fn routing_policy(&self, service: &Service, port: u16, subset: Option<&str>) -> TrafficPolicy {
        let host = &service.key.host;
        let rules = &self.mesh.rules;
        self.reads(Input::RoutingRulesOf(host.clone()));
        self.reads(Input::WildcardRoutingRules);
        let mut covering = rules.exact(host).iter().chain(rules.covering(host));
        if covering.any(|rule| concerns_routes(rule)) { self.traffic_policy(service, port, subset) } else { TrafficPolicy::default() }
    }

    /// What rules for a service say of the workload's own port behind it. Rules that select workloads mean these as callers.
    pub(super) fn inbound_policy(&self, service: &Service, port: u16) -> TrafficPolicy {
        let rules = self.rules_among(service, |_, _| false);
        let Some(first) = rules.first() else { return TrafficPolicy::default() };
        self.shaped_by(&first.origin);
        for_port(&first.policy, port)
    }

    /// The policy for one port and subset of a service: the subset's members over the rule's, a port's own policy over both.
    pub(super) fn traffic_policy(&self, service: &Service, port: u16, subset: Option<&str>) -> TrafficPolicy {
        let rules = self.rules_for(service);
        let Some(first) = rules.first() else { return TrafficPolicy::default() };
        rules.iter().for_each(|rule| self.shaped_by(&rule.origin));
        let policy = for_port(&first.policy, port);
        let subset = subset.and_then(|name| rules.iter().flat_map(|rule| &rule.subsets).find(|subset| &*subset.name == name));
        match subset {
            Some(subset) => over_for_port(&subset.policy, policy, port),
            None => policy,
        }
    }
}

/// Whether a rule says what routes, not clusters, have to do.
pub(super) fn concerns_routes(rule: &DestinationRule) -> bool {
    let own = |policy: &TrafficPolicy| {
        let pool = policy.connection_pool.as_ref();
        hashing::key(policy).is_some()
            || policy.tunnel.is_some()
            || pool.is_some_and(|pool| pool.tcp_idle_timeout.is_some() || pool.max_connection_duration.is_some())
    };
    let of = |policy: &TrafficPolicy| own(policy) || policy.ports.iter().any(|port| own(&port.policy));
    of(&rule.policy) || rule.subsets.iter().any(|subset| of(&subset.policy))
}

/// What is dirtied by rules for a host that concern routes.
pub(super) fn routing_input(host: &HostPattern) -> Input {
    if host.is_wildcard() { Input::WildcardRoutingRules } else { Input::RoutingRulesOf(host.clone()) }
}

/// The policy that holds for a port: a port's own replaces the general one as a whole.
fn for_port(policy: &TrafficPolicy, port: u16) -> TrafficPolicy {
    match policy.ports.iter().find(|own| own.port == port) {
        // What settings of a port can't say holds for all ports.
        Some(own) => TrafficPolicy {
            tunnel: policy.tunnel.clone(),
            proxy_protocol: policy.proxy_protocol,
            retry_budget: policy.retry_budget.clone(),
            ..own.policy.clone()
        },
        None => TrafficPolicy { ports: Vec::new(), ..policy.clone() },
    }
}

/// A subset's policy over the rule's. What the subset says of the port alone takes nothing from either.
fn over_for_port(subset: &TrafficPolicy, rule: TrafficPolicy, port: u16) -> TrafficPolicy {
    let rule = match subset.ports.iter().any(|own| own.port == port) {
        true => TrafficPolicy {
            tunnel: rule.tunnel,
            proxy_protocol: rule.proxy_protocol,
            retry_budget: rule.retry_budget,
            ..TrafficPolicy::default()
        },
        false => rule,
    };
    over(&for_port(subset, port), rule)
}

/// `upper`, with what it leaves open from `lower`.
fn over(upper: &TrafficPolicy, lower: TrafficPolicy) -> TrafficPolicy {
    TrafficPolicy {
        load_balancer: upper.load_balancer.clone().or(lower.load_balancer),
        connection_pool: upper.connection_pool.clone().or(lower.connection_pool),
        outlier_detection: upper.outlier_detection.clone().or(lower.outlier_detection),
        tls: upper.tls.clone().or(lower.tls),
        tunnel: upper.tunnel.clone().or(lower.tunnel),
        proxy_protocol: upper.proxy_protocol.or(lower.proxy_protocol),
        retry_budget: upper.retry_budget.clone().or(lower.retry_budget),
        ports: Vec::new(),
    }
}
