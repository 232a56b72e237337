//! Sidecars: which workloads they are for, and whether that is clear.

use std::sync::Arc;

use super::lookups::{listed, of_namespace, some};
use super::{Code, Finding, World, selector};
use crate::model::{ObjectRef, Sidecar};

/// Checks a Sidecar.
pub(super) fn check(world: &World, sidecar: &Sidecar, findings: &mut Vec<Finding>) {
    let coverage = world.facts().coverage;
    let namespace = &sidecar.origin.namespace;
    if sidecar.selector.is_empty() {
        let others: Vec<&ObjectRef> = others(world, sidecar).filter(|other| other.selector.is_empty()).map(|other| &other.origin).collect();
        if coverage.config && !others.is_empty() {
            let message = format!("{} is for all workloads of the namespace, too: only the oldest holds", listed(others.iter().copied()));
            let finding = Finding::new(Code::MultipleSidecarsWithoutWorkloadSelectors, &sidecar.origin, "spec.workloadSelector", message);
            findings.push(finding.with(some(others)));
        }
        return;
    }
    if !coverage.workloads {
        return;
    }
    if world.any_selected(&sidecar.selector, Some(namespace)).is_none() && !world.may_have_entry(&sidecar.selector, namespace) {
        let message = format!("no workload of the namespace has the labels {}", selector::text(&sidecar.selector));
        findings.push(Finding::new(Code::ReferencedResourceNotFound, &sidecar.origin, "spec.workloadSelector.labels", message));
        return;
    }
    if coverage.config {
        check_overlap(world, sidecar, findings);
    }
}

/// Two Sidecars contend where one workload has the labels of both.
fn check_overlap(world: &World, sidecar: &Sidecar, findings: &mut Vec<Finding>) {
    let mut rivals: Vec<&ObjectRef> = Vec::new();
    let mut example = None;
    for other in others(world, sidecar).filter(|other| !other.selector.is_empty()) {
        let Some(shared) = selector::both(&sidecar.selector, &other.selector) else { continue };
        if let Some(workload) = world.any_selected(&shared, Some(&sidecar.origin.namespace)) {
            example.get_or_insert(&workload.key.name);
            rivals.push(&other.origin);
        }
    }
    if let Some(example) = example {
        let message = format!("{} selects the same workloads, {example} among them: only the oldest holds", listed(rivals.iter().copied()));
        let finding = Finding::new(Code::ConflictingSidecarWorkloadSelectors, &sidecar.origin, "spec.workloadSelector.labels", message);
        findings.push(finding.with(some(rivals)));
    }
}

/// The other Sidecars of the namespace.
fn others<'a>(world: &'a World, sidecar: &'a Sidecar) -> impl Iterator<Item = &'a Arc<Sidecar>> {
    let all = of_namespace(&world.snapshot().config.sidecars, "Sidecar", &sidecar.origin.namespace);
    all.into_iter().filter(|other| other.origin != sidecar.origin)
}
