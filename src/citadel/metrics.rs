//! What citadel counts, as `citadel_…`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::runtime::Registry;

/// Citadel's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    csr: Family<ResultLabel, Counter>,
    /// From request to answer.
    pub(super) csr_seconds: Histogram,
    /// 1 while a root that somebody put into a Secret is refused and the old one is kept.
    pub(super) root_refused: Gauge,
    /// When the signing certificate ends.
    pub(super) root_expiry: Gauge,
    /// Root ConfigMaps written, by namespaces that lacked them and by repairs.
    pub(super) roots_written: Counter,
    /// Root ConfigMaps that could not be written; each is tried again.
    pub(super) roots_failed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            csr: Family::default(),
            csr_seconds: Histogram::new(exponential_buckets(0.000_25, 4.0, 8)),
            root_refused: Gauge::default(),
            root_expiry: Gauge::default(),
            roots_written: Counter::default(),
            roots_failed: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("citadel");
        registry.register("csr", "Certificate requests by result", metrics.csr.clone());
        registry.register("csr_seconds", "Time from certificate request to answer", metrics.csr_seconds.clone());
        registry.register("root_refused", "1 while a changed root Secret is refused", metrics.root_refused.clone());
        registry.register("root_expiry_timestamp_seconds", "When the signing certificate ends", metrics.root_expiry.clone());
        registry.register("roots_written", "Root ConfigMaps written", metrics.roots_written.clone());
        registry.register("roots_failed", "Root ConfigMaps that could not be written", metrics.roots_failed.clone());
        metrics
    }

    /// Counts one request.
    pub(super) fn count_csr(&self, result: &'static str) {
        self.csr.get_or_create(&ResultLabel { result }).inc();
    }
}
