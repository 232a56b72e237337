//! Hosts for which more than one object speaks.

use std::{collections::BTreeSet, sync::Arc};

use super::lookups::{LOOKED_AT, listed, same_audience, some};
use super::{Code, Finding, World};
use crate::model::{DestinationRule, HostPattern, MESH_GATEWAY, ObjectRef, ServiceEntry, VirtualService};

/// Checks the hosts of a VirtualService.
pub(super) fn check_routes(world: &World, routes: &VirtualService, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.config {
        return;
    }
    let rivals = |other: &&ObjectRef| {
        let other = world.snapshot().config.virtual_services.get(*other);
        other.is_some_and(|other| same_audience((&routes.export_to, &routes.origin.namespace), (&other.export_to, &other.origin.namespace)))
    };
    for (index, host) in routes.hosts.iter().enumerate() {
        let path = || format!("spec.hosts[{index}]");
        if routes.for_mesh() {
            let others = world.tables.mesh_routes.of(host).take(LOOKED_AT).filter(|other| **other != routes.origin);
            let others: Vec<&ObjectRef> = others.filter(rivals).collect();
            if !others.is_empty() {
                let message = format!(
                    "{:?} is routed for the same sidecars by {}: only the oldest holds; put the rules into one object, or narrow exportTo",
                    host.as_str(),
                    listed(others.iter().copied())
                );
                let finding = Finding::new(Code::ConflictingMeshGatewayVirtualServiceHosts, &routes.origin, path(), message);
                findings.push(finding.with(some(others)));
            }
        }
        let elsewhere = |other: &&ObjectRef| other.namespace != routes.origin.namespace;
        let gateways: BTreeSet<&Arc<str>> = routes.gateways.iter().filter(|gateway| &***gateway != MESH_GATEWAY).collect();
        for gateway in gateways {
            let others = world.tables.gateway_routes.of(&(gateway.clone(), host.clone())).take(LOOKED_AT).filter(elsewhere);
            let others: Vec<&ObjectRef> = others.filter(rivals).collect();
            report_elsewhere(&routes.origin, path(), host, &format!(" on gateway {gateway}"), &others, findings);
        }
    }
}

/// Checks the host of a DestinationRule.
pub(super) fn check_rule(world: &World, rule: &DestinationRule, findings: &mut Vec<Finding>) {
    if !world.facts().coverage.config {
        return;
    }
    let others = world.tables.rules.exact(&rule.host).take(LOOKED_AT).filter(|other| other.namespace != rule.origin.namespace);
    let others = others.filter(|other| {
        let other = world.snapshot().config.destination_rules.get(*other);
        // A rule for some clients of its own namespace takes nothing from others.
        let other = other.filter(|other| other.workload_selector.is_none() && rule.workload_selector.is_none());
        other.is_some_and(|other| same_audience((&rule.export_to, &rule.origin.namespace), (&other.export_to, &other.origin.namespace)))
    });
    let others: Vec<&ObjectRef> = others.collect();
    report_elsewhere(&rule.origin, "spec.host".to_owned(), &rule.host, "", &others, findings);
}

/// Checks the hosts of a ServiceEntry.
pub(super) fn check_entry(world: &World, entry: &ServiceEntry, findings: &mut Vec<Finding>) {
    let coverage = world.facts().coverage;
    for (index, host) in entry.hosts.iter().enumerate() {
        let mut others = Vec::new();
        if coverage.config {
            others.extend(
                rival_entries(world, entry, host).filter(|other| other.origin.namespace != entry.origin.namespace).map(|it| &it.origin),
            );
        }
        if coverage.services {
            others.extend(services_elsewhere(world, entry, host));
        }
        report_elsewhere(&entry.origin, format!("spec.hosts[{index}]"), host, "", &others, findings);
    }
    if coverage.config {
        check_protocols(world, entry, findings);
    }
}

/// Other ServiceEntries of a host that the same namespaces see.
fn rival_entries<'a>(world: &'a World, entry: &'a ServiceEntry, host: &'a HostPattern) -> impl Iterator<Item = &'a Arc<ServiceEntry>> {
    let others = world.tables.entries.of(host).take(LOOKED_AT).filter(|other| **other != entry.origin);
    let others = others.filter_map(|other| world.snapshot().config.service_entries.get(other));
    others.filter(|other| same_audience((&entry.export_to, &entry.origin.namespace), (&other.export_to, &other.origin.namespace)))
}

/// Kubernetes Services of other namespaces with that very host.
fn services_elsewhere<'a>(world: &'a World, entry: &'a ServiceEntry, host: &'a HostPattern) -> impl Iterator<Item = &'a ObjectRef> {
    let keys = world.tables.services.exact(host).take(LOOKED_AT).filter(|key| key.namespace != entry.origin.namespace);
    let services = keys.filter_map(|key| world.snapshot().services.get(key)).filter(|service| service.origin.kind == "Service");
    services.map(|service| &service.origin)
}

/// One host and port can have one protocol only.
fn check_protocols(world: &World, entry: &ServiceEntry, findings: &mut Vec<Finding>) {
    for (index, port) in entry.ports.iter().enumerate() {
        for host in &entry.hosts {
            let differs = |other: &&Arc<ServiceEntry>| {
                other.ports.iter().any(|theirs| theirs.number == port.number && theirs.protocol != port.protocol)
            };
            let others: Vec<&ObjectRef> = rival_entries(world, entry, host).filter(differs).map(|other| &other.origin).collect();
            if others.is_empty() {
                continue;
            }
            let message = format!(
                "{} says that another protocol than {} is spoken on port {} of {:?}: say the same in both",
                listed(others.iter().copied()),
                port.protocol,
                port.number,
                host.as_str()
            );
            let path = format!("spec.ports[{index}].protocol");
            findings.push(Finding::new(Code::ConflictingServiceEntryProtocol, &entry.origin, path, message).with(some(others)));
            // One host tells enough of a port.
            break;
        }
    }
}

fn report_elsewhere(own: &ObjectRef, path: String, host: &HostPattern, place: &str, others: &[&ObjectRef], findings: &mut Vec<Finding>) {
    if others.is_empty() {
        return;
    }
    let message = format!(
        "{:?} is spoken for{place} in another namespace as well, by {}: agree whose it is, or narrow exportTo",
        host.as_str(),
        listed(others.iter().copied())
    );
    findings.push(Finding::new(Code::HostOfAnotherNamespace, own, path, message).with(some(others.iter().copied())));
}
