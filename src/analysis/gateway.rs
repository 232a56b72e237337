//! Gateways: their workloads, the ports of their Services, and their Secrets.

use std::{collections::BTreeSet, sync::Arc};

use super::lookups::row;
use super::{Code, Finding, SecretFacts, World, selector};
use crate::model::{Gateway, GatewayServer, Labels, ObjectRef, ServerTls, ServerTlsMode, TargetPort, Workload};

/// How many workloads of a gateway are looked at: they are replicas, so that a few tell of all.
const WORKLOADS: usize = 64;
/// Labels that only tell replicas, or generations of them, apart.
const OF_REPLICAS: [&str; 4] =
    ["pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"];
/// Names under which a Secret may hold a certificate and its key.
const PAIRS: [(&str, &str); 2] = [("tls.crt", "tls.key"), ("cert", "key")];
/// Names under which a Secret may hold the authorities that clients are checked against.
const AUTHORITIES: [&str; 2] = ["ca.crt", "cacert"];

/// Checks a Gateway. One without a selector is for every gateway, so that nothing can be said of its workloads.
pub(super) fn check(world: &World, gateway: &Gateway, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.workloads || gateway.selector.is_empty() {
        return;
    }
    let mut workloads = world.selected(&gateway.selector, None);
    if workloads.is_empty() {
        let message = format!("no workload has the labels {}: no gateway listens for this", selector::text(&gateway.selector));
        findings.push(Finding::new(Code::ReferencedResourceNotFound, &gateway.origin, "spec.selector", message));
        return;
    }
    workloads.truncate(WORKLOADS);
    if world.facts().coverage.services {
        check_ports(world, gateway, &workloads, findings);
    }
    if let Some(workload) = workloads.first() {
        check_credentials(world, gateway, &workload.key.namespace, findings);
    }
}

/// Each port should be one that clients can reach by a Service.
fn check_ports(world: &World, gateway: &Gateway, workloads: &[&Arc<Workload>], findings: &mut Vec<Finding>) {
    let reachable = ports_of_services(world, workloads);
    for (index, server) in gateway.servers.iter().enumerate().filter(|(_, server)| !reachable.contains(&server.port)) {
        let known = if reachable.is_empty() { "no Service selects them".to_owned() } else { format!("they have {}", row(&reachable)) };
        let message = format!(
            "no Service of the workloads {} has port {}, so that clients can't reach it: {known}",
            selector::text(&gateway.selector),
            server.port
        );
        let path = format!("spec.servers[{index}].port.number");
        findings.push(Finding::new(Code::GatewayPortNotDefinedOnService, &gateway.origin, path, message));
    }
}

/// Numbers by which Services of these workloads are called, and those that the workloads listen on for them.
fn ports_of_services(world: &World, workloads: &[&Arc<Workload>]) -> BTreeSet<u16> {
    let mut seen: BTreeSet<(&Arc<str>, Labels)> = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for workload in workloads {
        let mut labels = workload.labels.clone();
        labels.retain(|name, _| !OF_REPLICAS.contains(&name.as_str()));
        if !seen.insert((&workload.key.namespace, labels)) {
            continue;
        }
        let services = world.tables.selecting.of(&workload.key.namespace).filter_map(|key| world.snapshot().services.get(key));
        for port in services.filter(|service| workload.selected_by(&service.selector)).flat_map(|service| &service.ports) {
            ports.insert(port.number);
            match &port.target {
                TargetPort::Number(number) => _ = ports.insert(*number),
                TargetPort::Name(name) => {
                    ports.extend(workload.named_ports.iter().filter(|(known, _)| known == name).map(|(_, number)| *number))
                }
            }
        }
    }
    ports
}

/// Secrets are read in the namespace of the gateway's workloads.
fn check_credentials(world: &World, gateway: &Gateway, namespace: &Arc<str>, findings: &mut Vec<Finding>) {
    let Some(secrets) = &world.facts().secrets else { return };
    for (index, server) in gateway.servers.iter().enumerate() {
        let Some((tls, name)) = credential(server) else { continue };
        let (namespace, name) = name.split_once('/').unwrap_or((namespace, name));
        let object = ObjectRef::new("Secret", namespace, name);
        let path = format!("spec.servers[{index}].tls.credentialName");
        match secrets.get(&object) {
            None => {
                let message = format!("there is no {object}, where the gateway's workloads run: create it there");
                findings.push(Finding::new(Code::ReferencedResourceNotFound, &gateway.origin, path, message));
            }
            Some(secret) => {
                let authorities = ObjectRef::new("Secret", namespace, &format!("{name}-cacert"));
                if let Some(defect) = defect(secret, tls.mode, secrets.contains_key(&authorities)) {
                    let message = format!("{object} {defect}");
                    findings.push(Finding::new(Code::InvalidGatewayCredential, &gateway.origin, path, message).with([object]));
                }
            }
        }
    }
}

/// The Secret that a server names, if it ends TLS with one. A name with a scheme is no Secret of Kubernetes.
fn credential(server: &GatewayServer) -> Option<(&ServerTls, &str)> {
    let tls = server.tls.as_ref()?;
    let name = tls.credential_name.as_deref()?;
    let ends = matches!(tls.mode, ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    (ends && !name.contains("://")).then_some((tls, name))
}

/// What a Secret lacks for a server's TLS.
fn defect(secret: &SecretFacts, mode: ServerTlsMode, has_authorities_beside: bool) -> Option<String> {
    let keys = secret.keys.as_ref()?;
    let has = |name: &str| keys.iter().any(|key| key == name);
    if !PAIRS.iter().any(|(certificate, key)| has(certificate) && has(key)) {
        return Some("holds no certificate: it needs tls.crt and tls.key".to_owned());
    }
    let checks_clients = matches!(mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    let lacks = checks_clients && !has_authorities_beside && !AUTHORITIES.iter().any(|name| has(name));
    lacks.then(|| "holds no authorities to check clients against: it needs ca.crt".to_owned())
}
