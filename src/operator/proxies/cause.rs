//! Which workloads have a cause for a restart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Wanted,
    find::{Controller, Facts, Found, PodKey, current_image},
    owners::Owner,
    roll::Cause,
    workload::WorkloadKey,
};
use crate::operator::settings::{Revision, Rolling};

/// The causes, by what is wanted of a revision's pods. `owners` are those of the pods that were found; `answered` says that new pods would
/// get a sidecar.
pub(super) fn causes(
    found: &Found,
    pods: &BTreeMap<PodKey, Facts>,
    owners: &BTreeMap<PodKey, Owner>,
    wanted: &Wanted,
    limits: &Rolling,
    answered: bool,
) -> BTreeMap<WorkloadKey, Cause> {
    let mut causes: BTreeMap<WorkloadKey, Cause> = BTreeMap::new();
    let with_sidecar = pods.values().filter(|facts| !facts.is_plain() && !facts.going);
    let injected: BTreeSet<&Controller> = with_sidecar.filter_map(|facts| facts.controller.as_ref()).collect();
    let sought = sought(wanted);
    let outdated = found.outdated.iter().filter(|_| limits.outdated).map(|key| (key, sought.as_str()));
    // Last, so that it counts for a workload of which both are true.
    let missed = found.missed.iter().filter(|_| limits.missed).map(|key| (key, "missed"));
    for (key, value) in outdated.chain(missed) {
        let (Some(workload), Some(facts)) = (owners.get(key).and_then(Owner::workload), pods.get(key)) else { continue };
        let known = causes.get(&workload).filter(|known| known.value == value);
        let youngest = known.map_or(facts.created, |it| it.youngest.max(facts.created));
        let beside_injected = facts.is_plain() && facts.controller.as_ref().is_some_and(|it| injected.contains(it));
        let mixed = known.is_some_and(|it| it.mixed) || beside_injected;
        causes.insert(workload, Cause { value: value.to_owned(), youngest, mixed, answered });
    }
    causes
}

/// What a workload is said to be restarted for whose pods are outdated: what new ones would get.
fn sought(wanted: &Wanted) -> String {
    let (image, revision) = (current_image(&wanted.values), wanted.values.revision.as_str());
    if Revision::named(revision).is_default() { image } else { format!("{image} of {revision}") }
}
