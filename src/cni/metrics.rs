//! What is counted.

use prometheus_client::metrics::{counter::Counter, family::Family};

use crate::runtime::Registry;

/// Counts of one word.
type Counts = Family<[(&'static str, &'static str); 1], Counter>;

/// Counters of the nodes' part. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    networks: Counts,
    repairs: Counts,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("cni");
        registry.register("networks", "Pods whose network was made: redirected, left alone, failed", metrics.networks.clone());
        registry.register("repairs", "Pods without their rules that were mended: fix, delete, label, failed", metrics.repairs.clone());
        metrics
    }

    pub(super) fn network(&self, result: &'static str) {
        self.networks.get_or_create(&[("result", result)]).inc();
    }

    pub(super) fn repair(&self, result: &'static str) {
        self.repairs.get_or_create(&[("result", result)]).inc();
    }
}
