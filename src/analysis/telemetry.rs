//! Telemetries: which workloads they are for, whether that is clear, and logs that nobody gets.

use super::contention::{self, Claimant, Terms};
use super::lookups::of_namespace;
use super::{Code, Finding, World};
use crate::model::{PolicyTarget, Telemetry};

/// How a Telemetry selects.
const TERMS: Terms = Terms {
    selector: "spec.selector",
    labels: "matchLabels",
    for_all: Code::MultipleTelemetriesWithoutWorkloadSelectors,
    for_one: Code::ConflictingTelemetryWorkloadSelectors,
};

/// Checks a Telemetry. One that is attached to resources contends with none.
pub(super) fn check(world: &World, telemetry: &Telemetry, findings: &mut Vec<Finding>) {
    let all = of_namespace(&world.snapshot().config.telemetries, "Telemetry", &telemetry.origin.namespace);
    if let Some(own) = claimant(telemetry) {
        contention::check(world, &TERMS, own, all.into_iter().filter_map(|other| claimant(other)), findings);
    }
    check_access_logs(world, telemetry, findings);
}

fn claimant(telemetry: &Telemetry) -> Option<Claimant<'_>> {
    match &telemetry.target {
        PolicyTarget::Workloads(labels) => Some((&telemetry.origin, labels)),
        PolicyTarget::Resources(_) => None,
    }
}

/// What is said of access logs counts for the providers that it names, or else for those that hold already: by a wider Telemetry. The
/// mesh's own settings name none.
fn check_access_logs(world: &World, telemetry: &Telemetry, findings: &mut Vec<Finding>) {
    let silent = telemetry.access_logging.iter().enumerate().filter(|(_, logging)| logging.providers.is_empty());
    let silent: Vec<usize> = silent.map(|(index, _)| index).collect();
    if silent.is_empty() || !world.facts().coverage.config || inherits_loggers(world, telemetry) {
        return;
    }
    for index in silent {
        let message = "names no provider, and neither does the mesh: it has no effect; name one, such as envoy, in providers";
        let path = format!("spec.accessLogging[{index}]");
        findings.push(Finding::new(Code::InvalidTelemetryProvider, &telemetry.origin, path, message));
    }
}

/// Whether another Telemetry that holds for the same workloads, and wider, names somebody who gets access logs.
fn inherits_loggers(world: &World, telemetry: &Telemetry) -> bool {
    let root = world.snapshot().mesh.root_namespace.as_str().into();
    let wider =
        [&root, &telemetry.origin.namespace].map(|namespace| of_namespace(&world.snapshot().config.telemetries, "Telemetry", namespace));
    let for_all = |other: &Telemetry| claimant(other).is_some_and(|(_, labels)| labels.is_empty());
    let mut wider = wider.into_iter().flatten().filter(|other| other.origin != telemetry.origin && for_all(other));
    wider.any(|other| other.access_logging.iter().any(|logging| !logging.providers.is_empty()))
}
