//! What galley counts: `galley_validation_…`, under the reference's names, and `galley_status_…`.

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

/// Galley's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    passed: Family<KindLabels, Counter>,
    failed: Family<FailureLabels, Counter>,
    /// From question to answer.
    pub(super) seconds: Histogram,
}

/// Metrics of what authors are told. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct StatusMetrics {
    /// Statuses written.
    pub(super) written: Counter,
    /// Writes that failed.
    pub(super) failed: Counter,
    /// Objects whose status is still to be written, by whoever leads.
    pub(super) pending: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    group: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    group: &'static str,
    kind: &'static str,
    reason: &'static str,
}

/// A kind that the mesh has, or what stands for all others: labels never hold a caller's texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownKind {
    group: &'static str,
    kind: &'static str,
}

// === impl KnownKind ===

impl KnownKind {
    /// The kind of that group and name.
    pub(super) fn of(group: &str, kind: &str) -> Self {
        let known = ferromesh_crds::catalog::find(group, kind);
        known.map_or(Self { group: "other", kind: "other" }, |known| Self { group: known.group, kind: known.name })
    }
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics =
            Self { passed: Family::default(), failed: Family::default(), seconds: Histogram::new(exponential_buckets(0.000_05, 4.0, 8)) };
        let registry = registry.sub_registry_with_prefix("galley_validation");
        registry.register("passed", "Objects that may be stored", metrics.passed.clone());
        registry.register("failed", "Objects that were refused, by reason", metrics.failed.clone());
        registry.register("time_seconds", "Time from question to answer", metrics.seconds.clone());
        metrics
    }

    /// Counts an object that may be stored.
    pub(super) fn pass(&self, KnownKind { group, kind }: KnownKind) {
        self.passed.get_or_create(&KindLabels { group, kind }).inc();
    }

    /// Counts an object that was refused.
    pub(super) fn fail(&self, KnownKind { group, kind }: KnownKind, reason: &'static str) {
        self.failed.get_or_create(&FailureLabels { group, kind, reason }).inc();
    }
}

// === impl StatusMetrics ===

impl StatusMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { written: Counter::default(), failed: Counter::default(), pending: Gauge::default() };
        let registry = registry.sub_registry_with_prefix("galley_status");
        registry.register("written", "Statuses written", metrics.written.clone());
        registry.register("failed", "Writes of statuses that failed", metrics.failed.clone());
        registry.register("pending", "Objects whose status is still to be written", metrics.pending.clone());
        metrics
    }
}
