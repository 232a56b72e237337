//! DestinationRules: their host, their subsets, and TLS that checks nobody.

use super::lookups::LOOKED_AT;
use super::{Code, Finding, World, selector};
use crate::model::{ClientTls, ClientTlsMode, DestinationRule, Labels, Service, Subset};

/// Labels that a subset may ask for and that come from a workload's node.
const OF_NODES: [&str; 2] = ["topology.", "kubernetes.io/hostname"];

/// Checks a DestinationRule.
pub(super) fn check(world: &World, rule: &DestinationRule, findings: &mut Vec<Finding>) {
    check_host(world, rule, findings);
    check_tls(rule, findings);
}

fn check_host(world: &World, rule: &DestinationRule, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.services {
        return;
    }
    let services = world.services_of(&rule.host);
    if services.is_empty() {
        if world.tables.services.narrower(&rule.host).next().is_none() {
            let message = format!("no service has the host {:?}: create it, or correct the name", rule.host.as_str());
            findings.push(Finding::new(Code::UnknownDestinationRuleHost, &rule.origin, "spec.host", message));
        }
        return;
    }
    if !world.facts().coverage.workloads || rule.host.is_wildcard() {
        return;
    }
    for (index, subset) in rule.subsets.iter().enumerate() {
        if !services.iter().take(LOOKED_AT).any(|service| may_have(world, service, subset)) {
            let message = format!(
                "no workload of {:?} has the labels {}: requests for the subset {:?} fail",
                rule.host.as_str(),
                selector::text(&subset.labels),
                &*subset.name
            );
            let path = format!("spec.subsets[{index}].labels");
            findings.push(Finding::new(Code::DestinationRuleSubsetNotSelectPods, &rule.origin, path, message));
        }
    }
}

/// Whether some workload or endpoint of a service is in a subset, as far as that can be known.
fn may_have(world: &World, service: &Service, subset: &Subset) -> bool {
    let of_node = |name: &String| OF_NODES.iter().any(|beginning| name.starts_with(beginning));
    if subset.labels.keys().any(of_node) {
        return true;
    }
    if !service.selector.is_empty() {
        let namespace = &service.key.namespace;
        if selector::both(&service.selector, &subset.labels).is_some_and(|labels| world.has_selected(&labels, namespace)) {
            return true;
        }
    }
    let endpoints = world.snapshot().endpoints.get(&service.key);
    let fits = |labels: &Labels| subset.labels.iter().all(|(name, value)| labels.get(name) == Some(value));
    endpoints.is_some_and(|endpoints| endpoints.iter().any(|endpoint| fits(&endpoint.labels)))
}

fn check_tls(rule: &DestinationRule, findings: &mut Vec<Finding>) {
    let mut report = |code: Code, path: String, tls: &ClientTls, port: &str| {
        let mode = match tls.mode {
            ClientTlsMode::Simple => "SIMPLE",
            ClientTlsMode::Mutual => "MUTUAL",
            // Without TLS nothing is checked; the mesh's own checks by itself.
            ClientTlsMode::Disable | ClientTlsMode::IstioMutual => return,
        };
        // A Secret holds authorities beside the client's own certificate.
        if tls.ca_certificates.is_none() && tls.credential_name.is_none() {
            let message = format!("{mode} without caCertificates: nobody checks who answers for {:?}{port}", rule.host.as_str());
            findings.push(Finding::new(code, &rule.origin, path, message));
        }
    };
    if let Some(tls) = &rule.policy.tls {
        report(Code::NoServerCertificateVerificationDestinationLevel, "spec.trafficPolicy.tls".to_owned(), tls, "");
    }
    for (index, port) in rule.policy.ports.iter().enumerate() {
        if let Some(tls) = &port.policy.tls {
            let path = format!("spec.trafficPolicy.portLevelSettings[{index}].tls");
            report(Code::NoServerCertificateVerificationPortLevel, path, tls, &format!(" on port {}", port.port));
        }
    }
}
