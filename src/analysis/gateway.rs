//! Gateways: their workloads, the ports of their Services, and their Secrets.

use std::{collections::BTreeSet, sync::Arc};

use super::lookups::row;
use super::tables::secrets;
use super::{Code, Finding, SecretFacts, World, selector};
use crate::model::{Gateway, Labels, ObjectRef, ServerTlsMode, TargetPort, Workload};

/// How many workloads of a gateway are looked at: they are replicas, so that a few tell of all.
pub(super) const WORKLOADS: usize = 64;
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
    let workloads = world.selected(&gateway.selector, None, WORKLOADS);
    if workloads.is_empty() {
        let message = format!("no workload has the labels {}: no gateway listens for this", selector::text(&gateway.selector));
        findings.push(Finding::new(Code::ReferencedResourceNotFound, &gateway.origin, "spec.selector", message));
        return;
    }
    // Of more workloads than were looked at, not all Services are known.
    if world.facts().coverage.services && workloads.len() < WORKLOADS {
        check_ports(world, gateway, &workloads, findings);
    }
    check_credentials(world, gateway, &workloads, findings);
}

/// Each port should be one that clients can reach by a Service.
fn check_ports(world: &World, gateway: &Gateway, workloads: &[&Arc<Workload>], findings: &mut Vec<Finding>) {
    let reachable = ports_of_services(world, workloads);
    // A socket has no port.
    let servers = gateway.servers.iter().enumerate().filter(|(_, server)| server.port != 0);
    for (index, server) in servers.filter(|(_, server)| !reachable.contains(&server.port)) {
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

/// Secrets are read in the namespaces of the gateway's workloads.
fn check_credentials(world: &World, gateway: &Gateway, workloads: &[&Arc<Workload>], findings: &mut Vec<Finding>) {
    let Some(known) = &world.facts().secrets else { return };
    let namespaces: BTreeSet<&str> = workloads.iter().map(|workload| &*workload.key.namespace).collect();
    for (index, server) in gateway.servers.iter().enumerate() {
        let Some(tls) = server.tls.as_ref().filter(|tls| ends_tls(tls.mode)) else { continue };
        // A name with a scheme is no Secret of Kubernetes.
        for (full, field) in secrets(server).filter(|(name, _)| !name.contains("://")) {
            let path = format!("spec.servers[{index}].{field}");
            let (own, name) = full.split_once('/').map_or((None, &**full), |(namespace, name)| (Some(namespace), name));
            let places = namespaces.iter().copied().filter(|_| own.is_none()).chain(own);
            let mut found = places.filter_map(|namespace| known.get_key_value(&ObjectRef::new("Secret", namespace, name)));
            let Some((object, secret)) = found.next() else {
                let place = own.map_or_else(|| row(&namespaces), str::to_owned);
                let message = format!("there is no Secret {name} in namespace {place}, where the gateway looks for it: create it there");
                findings.push(Finding::new(Code::ReferencedResourceNotFound, &gateway.origin, path, message));
                continue;
            };
            let beside = ObjectRef::new("Secret", &object.namespace, &format!("{name}-cacert"));
            let has_authorities = tls.client_authorities.is_some() || known.contains_key(&beside);
            if let Some(defect) = defect(secret, tls.mode, has_authorities) {
                let message = format!("{object} {defect}");
                findings.push(Finding::new(Code::InvalidGatewayCredential, &gateway.origin, path, message).with([object.clone()]));
            }
        }
    }
}

/// Whether a gateway ends TLS with certificates that it is given.
fn ends_tls(mode: ServerTlsMode) -> bool {
    matches!(mode, ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual)
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
