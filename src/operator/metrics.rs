//! What the operator counts, as `operator_…`.

use prometheus_client::metrics::{
    counter::Counter,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};

use crate::runtime::Registry;

/// The operator's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Passes over all objects.
    pub(super) passes: Counter,
    /// How long they took.
    pub(super) pass_time: Histogram,
    /// Passes that ended in an error.
    pub(super) failures: Counter,
    /// Objects written because of a new plan.
    pub(super) applied: Counter,
    /// Objects restored.
    pub(super) repaired: Counter,
    /// Objects removed.
    pub(super) pruned: Counter,
    /// 1 while the mesh is healthy.
    pub(super) healthy: Gauge,
    /// Pods that should have a sidecar and have none.
    pub(super) missed: Gauge,
    /// Pods whose sidecar is another than a new pod would get.
    pub(super) outdated: Gauge,
    /// MeshInstalls refused at admission.
    pub(super) refused: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            passes: Counter::default(),
            // From half a millisecond, for a look that changes nothing, to half a minute.
            pass_time: Histogram::new(exponential_buckets(5e-4, 4.0, 9)),
            failures: Counter::default(),
            applied: Counter::default(),
            repaired: Counter::default(),
            pruned: Counter::default(),
            healthy: Gauge::default(),
            missed: Gauge::default(),
            outdated: Gauge::default(),
            refused: Counter::default(),
        }
    }

    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        let registry = registry.sub_registry_with_prefix("operator");
        registry.register("passes", "Passes over all objects of the mesh", metrics.passes.clone());
        registry.register("pass_seconds", "How long a pass took", metrics.pass_time.clone());
        registry.register("failures", "Passes that ended in an error", metrics.failures.clone());
        registry.register("applied", "Objects written because of a new plan", metrics.applied.clone());
        registry.register("repaired", "Objects restored after somebody changed or deleted them", metrics.repaired.clone());
        registry.register("pruned", "Objects removed because no plan has them any more", metrics.pruned.clone());
        registry.register("healthy", "1 while the mesh is healthy", metrics.healthy.clone());
        registry.register("pods_missed", "Pods that should have a sidecar and have none", metrics.missed.clone());
        registry.register("pods_outdated", "Pods whose sidecar is another than a new pod would get", metrics.outdated.clone());
        registry.register("refused", "MeshInstalls refused at admission", metrics.refused.clone());
        metrics
    }
}
