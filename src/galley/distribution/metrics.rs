//! What the distribution counts, as `galley_distribution_…`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::runtime::Registry;

/// The distribution's metrics. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    /// Streams that are open.
    pub(super) readers: Gauge,
    /// Streams that were refused to others than pilot.
    pub(super) refused: Counter,
    /// Bytes sent.
    pub(super) bytes: Counter,
    resources: Family<KindLabel, Counter>,
    acknowledged: Family<KindLabel, Counter>,
    rejected: Family<KindLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("galley_distribution");
        registry.register("readers", "Streams that are open", metrics.readers.clone());
        registry.register("refused", "Streams refused to others than pilot", metrics.refused.clone());
        registry.register("bytes", "Bytes of configuration sent", metrics.bytes.clone());
        registry.register("resources", "Objects sent, by kind", metrics.resources.clone());
        registry.register("acknowledged", "Responses that readers took, by kind", metrics.acknowledged.clone());
        registry.register("rejected", "Responses of which readers could not read something, by kind", metrics.rejected.clone());
        metrics
    }

    /// Counts what a response holds.
    pub(super) fn sent(&self, kind: &'static str, resources: usize, bytes: usize) {
        self.resources.get_or_create(&KindLabel { kind }).inc_by(resources as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Counts an answer.
    pub(super) fn answered(&self, kind: &'static str, taken: bool) {
        let family = if taken { &self.acknowledged } else { &self.rejected };
        family.get_or_create(&KindLabel { kind }).inc();
    }
}
