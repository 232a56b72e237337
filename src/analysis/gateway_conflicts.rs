//! Gateways that claim the same thing.

use std::{collections::BTreeSet, sync::Arc};

use super::lookups::{LOOKED_AT, listed, row, some};
use super::tables::secrets;
use super::{Code, Finding, World, selector};
use crate::model::{Gateway, GatewayServer, HostPattern, Labels, NamespaceSelector, ObjectRef};

/// A host of a Gateway's server, and the namespaces for whose VirtualServices it is.
type Claim<'a> = (&'a Gateway, &'a GatewayServer, &'a NamespaceSelector, &'a HostPattern);

/// Checks a Gateway against the others.
pub(super) fn check(world: &World, gateway: &Gateway, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.config {
        return;
    }
    let selector: Arc<str> = selector::text(&gateway.selector).into();
    for (index, server) in gateway.servers.iter().enumerate() {
        let rivals = rivals(world, gateway, server, &selector);
        if !rivals.is_empty() {
            let message = format!(
                "port {} and hosts {} of the workloads {} are served by {} as well: give each host and port to one Gateway",
                server.port,
                row(server.hosts.iter().map(|(_, host)| host)),
                if selector.is_empty() { "of every gateway" } else { &selector },
                listed(rivals.iter())
            );
            let finding = Finding::new(Code::ConflictingGateways, &gateway.origin, format!("spec.servers[{index}]"), message);
            findings.push(finding.with(some(rivals.iter())));
        }
    }
    check_certificates(world, gateway, findings);
}

/// Other Gateways of the same workloads that serve a host of the server's on the same port.
fn rivals(world: &World, gateway: &Gateway, server: &GatewayServer, selector: &Arc<str>) -> BTreeSet<ObjectRef> {
    let mut found = BTreeSet::new();
    let Some(table) = world.tables.doors.get(&(selector.clone(), server.port)) else { return found };
    for (namespace, host) in &server.hosts {
        let candidates = table.exact(host).chain(table.wider(host)).chain(table.narrower(host)).take(LOOKED_AT);
        for other in candidates.filter(|other| **other != gateway.origin) {
            let Some(other) = world.snapshot().config.gateways.get(other) else { continue };
            if !found.contains(&other.origin) && serves((gateway, server, namespace, host), other) {
                found.insert(other.origin.clone());
            }
        }
    }
    found
}

/// Whether a Gateway serves, on the server's port, a host that overlaps with one of the server's for the same namespaces.
fn serves((gateway, server, namespace, host): Claim<'_>, other: &Gateway) -> bool {
    let own = speaker(gateway, namespace);
    // On different addresses both can listen.
    let same_place = |theirs: &&GatewayServer| {
        theirs.port == server.port && (theirs.bind == server.bind || (server.port != 0 && (theirs.bind.is_none() || server.bind.is_none())))
    };
    other.servers.iter().filter(same_place).flat_map(|theirs| &theirs.hosts).any(|(theirs, pattern)| {
        let theirs = speaker(other, theirs);
        (own.is_none() || theirs.is_none() || own == theirs) && pattern.overlaps(host)
    })
}

/// The namespace whose VirtualServices may speak for a host; `None` for all.
fn speaker<'a>(gateway: &'a Gateway, namespace: &'a NamespaceSelector) -> Option<&'a Arc<str>> {
    match namespace {
        NamespaceSelector::Any => None,
        NamespaceSelector::Own => Some(&gateway.origin.namespace),
        NamespaceSelector::Named(name) => Some(name),
    }
}

/// Browsers use one connection for all hosts of a certificate, and then miss those of the other Gateway.
fn check_certificates(world: &World, gateway: &Gateway, findings: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    let all = gateway.servers.iter().enumerate().flat_map(|(index, server)| secrets(server).map(move |(name, field)| (index, name, field)));
    for (index, name, field) in all {
        let others = world.tables.certificates.of(name).take(LOOKED_AT).filter(|other| **other != gateway.origin);
        let others = others.filter(|other| {
            let other = world.snapshot().config.gateways.get(*other);
            // The workloads of the narrower selector get both.
            other.is_some_and(|other| is_part(&gateway.selector, &other.selector) || is_part(&other.selector, &gateway.selector))
        });
        let others: Vec<&ObjectRef> = others.collect();
        if !others.is_empty() && told.insert(name) {
            let message = format!(
                "the certificate {:?} is used by {} as well: clients that use one HTTP/2 connection for both get 404; use one Gateway, or a certificate each",
                &**name,
                listed(others.iter().copied())
            );
            let path = format!("spec.servers[{index}].{field}");
            findings.push(Finding::new(Code::GatewayDuplicateCertificate, &gateway.origin, path, message).with(some(others)));
        }
    }
}

/// Whether every label of a selector is in another.
fn is_part(part: &Labels, whole: &Labels) -> bool {
    part.iter().all(|(name, value)| whole.get(name) == Some(value))
}
