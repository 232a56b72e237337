//! Kinds of which a workload obeys a single object of its namespace: Sidecars, Telemetries. Whom each is for, and whether that is clear.

use std::sync::Arc;

use super::lookups::{listed, some};
use super::{Code, Finding, World, selector};
use crate::model::{Labels, ObjectRef};

/// An object, and the labels of the workloads of its namespace that it is for; empty for all of them.
pub(super) type Claimant<'a> = (&'a ObjectRef, &'a Labels);

/// How a kind selects workloads, and what its conflicts are called.
pub(super) struct Terms {
    /// Where the selector stands.
    pub(super) selector: &'static str,
    /// The field in it with the labels.
    pub(super) labels: &'static str,
    /// The code of several objects for all workloads.
    pub(super) for_all: Code,
    /// The code of several objects for one workload.
    pub(super) for_one: Code,
}

/// Checks one of the objects against all of its kind and namespace, itself among them or not.
pub(super) fn check<'a>(
    world: &World,
    terms: &Terms,
    (origin, labels): Claimant<'_>,
    all: impl Iterator<Item = Claimant<'a>>,
    findings: &mut Vec<Finding>,
) {
    let coverage = world.facts().coverage;
    let rivals = all.filter(|(other, theirs)| *other != origin && theirs.is_empty() == labels.is_empty());
    if labels.is_empty() {
        let rivals: Vec<&ObjectRef> = rivals.map(|(other, _)| other).collect();
        if coverage.config && !rivals.is_empty() {
            let message = format!("{} is for all workloads of the namespace, too: only the oldest holds", listed(rivals.iter().copied()));
            findings.push(Finding::new(terms.for_all, origin, terms.selector, message).with(some(rivals)));
        }
        return;
    }
    if !coverage.workloads {
        return;
    }
    let (namespace, path) = (&origin.namespace, format!("{}.{}", terms.selector, terms.labels));
    if !world.has_selected(labels, namespace) {
        let message = format!("no workload of the namespace has the labels {}", selector::text(labels));
        findings.push(Finding::new(Code::ReferencedResourceNotFound, origin, path, message));
        return;
    }
    if coverage.config
        && let Some((rivals, example)) = overlap(world, labels, namespace, rivals)
    {
        let message = format!("{} selects the same workloads, {example} among them: only the oldest holds", listed(rivals.iter().copied()));
        findings.push(Finding::new(terms.for_one, origin, path, message).with(some(rivals)));
    }
}

/// Those of others whose selector picks a workload that this one picks, and the name of such a workload. They contend where one workload
/// has the labels of both.
fn overlap<'a, 'w>(
    world: &'w World,
    labels: &Labels,
    namespace: &Arc<str>,
    others: impl Iterator<Item = Claimant<'a>>,
) -> Option<(Vec<&'a ObjectRef>, &'w str)> {
    let mut rivals = Vec::new();
    let mut example = None;
    for (other, theirs) in others {
        let Some(shared) = selector::both(labels, theirs) else { continue };
        if let Some(workload) = world.any_selected(&shared, Some(namespace)) {
            example.get_or_insert(&*workload.key.name);
            rivals.push(other);
        }
    }
    Some((rivals, example?))
}
