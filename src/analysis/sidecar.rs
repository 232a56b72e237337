//! Sidecars: which workloads they are for, and whether that is clear.

use super::contention::{self, Terms};
use super::lookups::of_namespace;
use super::{Code, Finding, World};
use crate::model::Sidecar;

/// How a Sidecar selects.
const TERMS: Terms = Terms {
    selector: "spec.workloadSelector",
    labels: "labels",
    for_all: Code::MultipleSidecarsWithoutWorkloadSelectors,
    for_one: Code::ConflictingSidecarWorkloadSelectors,
};

/// Checks a Sidecar.
pub(super) fn check(world: &World, sidecar: &Sidecar, findings: &mut Vec<Finding>) {
    let all = of_namespace(&world.snapshot().config.sidecars, "Sidecar", &sidecar.origin.namespace);
    let all = all.into_iter().map(|other| (&other.origin, &other.selector));
    contention::check(world, &TERMS, (&sidecar.origin, &sidecar.selector), all, findings);
}
