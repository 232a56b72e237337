//! Deployments whose pods several Services reach.

use std::collections::{BTreeMap, BTreeSet};

use super::lookups::{listed, row, some};
use super::{Code, DeploymentFacts, Finding, ServiceFacts, World, injection};
use crate::model::{Labels, ObjectRef};

/// Services of one namespace.
type Services<'a> = Vec<(&'a ObjectRef, &'a ServiceFacts)>;

/// Checks all Deployments that are known to get sidecars.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let facts = world.facts();
    let (Some(deployments), Some(services)) = (&facts.deployments, &facts.services) else { return };
    let mut by_namespace: BTreeMap<&str, Services<'_>> = BTreeMap::new();
    for (object, service) in services.iter().filter(|(_, service)| !service.selector.is_empty()) {
        by_namespace.entry(&object.namespace).or_default().push((object, service));
    }
    for (object, deployment) in deployments {
        if injection::in_mesh(world, &object.namespace, &deployment.template) != Some(true) {
            continue;
        }
        let selecting = by_namespace.get(&*object.namespace).into_iter().flatten();
        let selecting: Services<'_> = selecting.filter(|(_, service)| selects(&service.selector, deployment)).copied().collect();
        check_transports(object, &selecting, findings);
        check_targets(object, &selecting, findings);
    }
}

fn selects(selector: &Labels, deployment: &DeploymentFacts) -> bool {
    selector.iter().all(|(name, value)| deployment.template.labels.get(name) == Some(value))
}

/// One port number can't be TCP in one Service and UDP in another.
fn check_transports(object: &ObjectRef, services: &Services<'_>, findings: &mut Vec<Finding>) {
    let mut uses: BTreeMap<u16, (BTreeSet<&str>, BTreeSet<&ObjectRef>)> = BTreeMap::new();
    for (service, port) in services.iter().flat_map(|(object, service)| service.ports.iter().map(move |port| (*object, port))) {
        let (transports, users) = uses.entry(port.number).or_default();
        transports.insert(&port.transport);
        users.insert(service);
    }
    for (number, (transports, users)) in uses.into_iter().filter(|(_, (transports, _))| transports.len() > 1) {
        let message = format!("port {number} is {} in {}: use a number for each", row(transports), listed(users.iter().copied()));
        findings.push(Finding::new(Code::DeploymentAssociatedToMultipleServices, object, "", message).with(some(users)));
    }
}

/// A sidecar knows a port that it listens on by one number only.
fn check_targets(object: &ObjectRef, services: &Services<'_>, findings: &mut Vec<Finding>) {
    let mut uses: BTreeMap<&str, (BTreeSet<u16>, BTreeSet<&ObjectRef>)> = BTreeMap::new();
    for (service, port) in services.iter().flat_map(|(object, service)| service.ports.iter().map(move |port| (*object, port))) {
        let (numbers, users) = uses.entry(&port.target).or_default();
        numbers.insert(port.number);
        users.insert(service);
    }
    for (target, (numbers, users)) in uses.into_iter().filter(|(_, (numbers, _))| numbers.len() > 1) {
        let message = format!(
            "its port {target} is called by the numbers {} of {}: use the same number",
            row(numbers),
            listed(users.iter().copied())
        );
        findings.push(Finding::new(Code::DeploymentConflictingPorts, object, "", message).with(some(users)));
    }
}
