//! `trafficPolicy`: of a host, of a subset, of a port.

use ferromesh_crds::networking::connection_pool::ConnectionPool;
use ferromesh_crds::networking::destination_rule::{
    ClientTls, OutlierDetection, PortTrafficPolicy, ProxyProtocolVersion, RetryBudget, TrafficPolicy, Tunnel,
};
use ferromesh_crds::networking::load_balancer::LoadBalancer;
use std::collections::BTreeSet;

use super::{client_tls, load_balancer, outlier_detection};
use crate::config::hosts::{is_ip, name_defect};
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{self, HostPattern};

/// The policy of a host or subset, if it has one.
pub(super) fn optional(reading: &mut Reading<'_>, parent: &At<'_>, policy: Option<&TrafficPolicy>) -> model::TrafficPolicy {
    let Some(policy) = policy else { return model::TrafficPolicy::default() };
    let at = parent.field("trafficPolicy");
    if *policy == TrafficPolicy::default() {
        reading.error(&at, Code::Required, "a traffic policy needs at least one field");
    }
    let settings = &policy.port_level_settings;
    let list = at.field("portLevelSettings");
    let (mut ports, mut seen) = (Vec::with_capacity(settings.len()), BTreeSet::new());
    for (index, one) in settings.iter().enumerate() {
        let at = list.index(index);
        let Some(port) = port(reading, &at, one) else { continue };
        // As in the reference, where the first settings of a port are found.
        if seen.insert(port.port) {
            ports.push(port);
        } else {
            reading.warn(&at, Code::NoEffect, format!("port {} has settings already, and the first ones hold", port.port));
        }
    }
    let common = Common {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        outlier_detection: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
    };
    model::TrafficPolicy {
        ports,
        tunnel: policy.tunnel.as_ref().and_then(|one| tunnel(reading, &at.field("tunnel"), one)),
        proxy_protocol: policy.proxy_protocol.as_ref().map(|one| match one.version {
            None | Some(ProxyProtocolVersion::V1) => model::ProxyProtocol::V1,
            Some(ProxyProtocolVersion::V2) => model::ProxyProtocol::V2,
        }),
        retry_budget: policy.retry_budget.as_ref().map(|one| retry_budget(reading, &at.field("retryBudget"), one)),
        ..common.read(reading, &at)
    }
}

fn port(reading: &mut Reading<'_>, at: &At<'_>, settings: &PortTrafficPolicy) -> Option<model::PortTrafficPolicy> {
    if settings.port.is_none() {
        reading.required(&at.field("port"));
    }
    if *settings == (PortTrafficPolicy { port: settings.port.clone(), ..PortTrafficPolicy::default() }) {
        reading.error(at, Code::Required, "the settings of a port need at least one field beside it");
    }
    let common = Common {
        load_balancer: settings.load_balancer.as_ref(),
        connection_pool: settings.connection_pool.as_ref(),
        outlier_detection: settings.outlier_detection.as_ref(),
        tls: settings.tls.as_ref(),
    };
    let policy = common.read(reading, at);
    let port = reading.port_selector(&at.field("port"), settings.port.as_ref())?;
    Some(model::PortTrafficPolicy { port, policy })
}

/// What the settings of a host and of a single port have in common.
struct Common<'a> {
    load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    outlier_detection: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTls>,
}

// === impl Common ===

impl Common<'_> {
    fn read(&self, reading: &mut Reading<'_>, at: &At<'_>) -> model::TrafficPolicy {
        let outlier = self.outlier_detection.is_some();
        model::TrafficPolicy {
            load_balancer: self.load_balancer.map(|one| load_balancer::read(reading, &at.field("loadBalancer"), one, outlier)),
            connection_pool: self.connection_pool.map(|one| reading.connection_pool(&at.field("connectionPool"), one)),
            outlier_detection: self.outlier_detection.map(|one| outlier_detection::read(reading, &at.field("outlierDetection"), one)),
            tls: self.tls.map(|one| client_tls::read(reading, &at.field("tls"), one)),
            ..model::TrafficPolicy::default()
        }
    }
}

fn tunnel(reading: &mut Reading<'_>, at: &At<'_>, tunnel: &Tunnel) -> Option<model::Tunnel> {
    let protocol = tunnel.protocol.as_deref().unwrap_or_default();
    if !["", "CONNECT", "POST"].contains(&protocol) {
        reading.error(&at.field("protocol"), Code::NotAllowed, format!("{} is not one of CONNECT, POST", quoted(protocol)));
    }
    if let Some(defect) = name_defect(&tunnel.target_host).filter(|_| !is_ip(&tunnel.target_host)) {
        reading.error(&at.field("targetHost"), Code::BadHost, defect);
    }
    let here = at.field("targetPort");
    let Some(port) = tunnel.target_port else {
        reading.required(&here);
        return None;
    };
    Some(model::Tunnel {
        by_post: protocol == "POST",
        target_host: HostPattern::new(&tunnel.target_host),
        target_port: reading.port(&here, port),
    })
}

fn retry_budget(reading: &mut Reading<'_>, at: &At<'_>, budget: &RetryBudget) -> model::RetryBudget {
    model::RetryBudget {
        share: budget.percent.map(|percent| reading.percent(&at.field("percent"), percent)),
        min_retry_concurrency: budget.min_retry_concurrency,
        interval: budget.budget_interval.as_deref().and_then(|text| reading.any_duration(&at.field("budgetInterval"), text)),
    }
}
