//! `trafficPolicy`: of a host, of a subset, of a port.

use ferromesh_crds::networking::destination_rule::{PortTrafficPolicy, RetryBudget, TrafficPolicy, Tunnel};

use super::{client_tls, load_balancer, outlier_detection};
use crate::config::hosts::{is_ip, name_defect};
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model;

/// The policy of a host or subset, if it has one.
pub(super) fn optional(reading: &mut Reading<'_>, parent: &At<'_>, policy: Option<&TrafficPolicy>) -> model::TrafficPolicy {
    let Some(policy) = policy else { return model::TrafficPolicy::default() };
    let at = parent.field("trafficPolicy");
    if *policy == TrafficPolicy::default() {
        reading.error(&at, Code::Required, "a traffic policy needs at least one field");
    }
    if let Some(tunnel) = &policy.tunnel {
        check_tunnel(reading, &at.field("tunnel"), tunnel);
    }
    if let Some(budget) = &policy.retry_budget {
        check_retry_budget(reading, &at.field("retryBudget"), budget);
    }
    reading.not_honoured(&at, "tunnel", policy.tunnel.is_some());
    reading.not_honoured(&at, "proxyProtocol", policy.proxy_protocol.is_some());
    reading.not_honoured(&at, "retryBudget", policy.retry_budget.is_some());
    let settings = &policy.port_level_settings;
    let list = at.field("portLevelSettings");
    let ports = settings.iter().enumerate().filter_map(|(index, one)| port(reading, &list.index(index), one)).collect();
    let numbers = settings.iter().enumerate().filter_map(|(index, one)| Some((list.index(index), one.port.as_ref()?.number?)));
    let numbers: Vec<_> = numbers.collect();
    reading.distinct(numbers.into_iter(), |port| format!("port {port} has settings already"));
    model::TrafficPolicy {
        load_balancer: policy.load_balancer.as_ref().and_then(|one| load_balancer::read(reading, &at.field("loadBalancer"), one)),
        connection_pool: policy.connection_pool.as_ref().map(|one| reading.connection_pool(&at.field("connectionPool"), one)),
        outlier_detection: policy
            .outlier_detection
            .as_ref()
            .map(|one| outlier_detection::read(reading, &at.field("outlierDetection"), one)),
        tls: policy.tls.as_ref().map(|one| client_tls::read(reading, &at.field("tls"), one)),
        ports,
    }
}

fn port(reading: &mut Reading<'_>, at: &At<'_>, settings: &PortTrafficPolicy) -> Option<model::PortTrafficPolicy> {
    if settings.port.is_none() {
        reading.required(&at.field("port"));
    }
    if *settings == (PortTrafficPolicy { port: settings.port.clone(), ..PortTrafficPolicy::default() }) {
        reading.error(at, Code::Required, "the settings of a port need at least one field beside it");
    }
    let policy = model::TrafficPolicy {
        load_balancer: settings.load_balancer.as_ref().and_then(|one| load_balancer::read(reading, &at.field("loadBalancer"), one)),
        connection_pool: settings.connection_pool.as_ref().map(|one| reading.connection_pool(&at.field("connectionPool"), one)),
        outlier_detection: settings
            .outlier_detection
            .as_ref()
            .map(|one| outlier_detection::read(reading, &at.field("outlierDetection"), one)),
        tls: settings.tls.as_ref().map(|one| client_tls::read(reading, &at.field("tls"), one)),
        ports: Vec::new(),
    };
    let port = reading.port_selector(&at.field("port"), settings.port.as_ref())?;
    Some(model::PortTrafficPolicy { port, policy })
}

fn check_tunnel(reading: &mut Reading<'_>, at: &At<'_>, tunnel: &Tunnel) {
    if let Some(protocol) = tunnel.protocol.as_deref().filter(|protocol| !["", "CONNECT", "POST"].contains(protocol)) {
        reading.error(&at.field("protocol"), Code::NotAllowed, format!("{} is not one of CONNECT, POST", quoted(protocol)));
    }
    if let Some(defect) = name_defect(&tunnel.target_host).filter(|_| !is_ip(&tunnel.target_host)) {
        reading.error(&at.field("targetHost"), Code::BadHost, defect);
    }
    match tunnel.target_port {
        Some(port) => drop(reading.port(&at.field("targetPort"), port)),
        None => reading.required(&at.field("targetPort")),
    }
}

fn check_retry_budget(reading: &mut Reading<'_>, at: &At<'_>, budget: &RetryBudget) {
    if budget.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        reading.error(&at.field("percent"), Code::OutOfRange, "must be from 0 to 100");
    }
    if let Some(interval) = &budget.budget_interval {
        reading.any_duration(&at.field("budgetInterval"), interval);
    }
}
