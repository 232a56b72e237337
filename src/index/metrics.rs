//! What the index counts, as `index_…`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};
use std::collections::BTreeMap;

use super::rejected::RejectedObjects;
use crate::runtime::Registry;

/// The index's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    watch_failures: Family<KindLabel, Counter>,
    watch_failing: Family<KindLabel, Gauge>,
    rejected: Family<KindLabel, Gauge>,
    /// Snapshots published.
    pub(super) snapshots: Counter,
    /// Changes in them.
    pub(super) changes: Counter,
    /// From the first update of a batch to the snapshot's publication.
    pub(super) apply_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            watch_failures: Family::default(),
            watch_failing: Family::default(),
            rejected: Family::default(),
            snapshots: Counter::default(),
            changes: Counter::default(),
            apply_seconds: Histogram::new(exponential_buckets(0.000_02, 4.0, 9)),
        };
        let registry = registry.sub_registry_with_prefix("index");
        registry.register("watch_failures", "Failures of watches by kind", metrics.watch_failures.clone());
        registry.register("watch_failing", "1 while the watch of a kind fails and what is known may be old", metrics.watch_failing.clone());
        registry.register("rejected_objects", "Stored objects that are not understood, by kind", metrics.rejected.clone());
        registry.register("snapshots", "Snapshots published", metrics.snapshots.clone());
        registry.register("changes", "Changes in published snapshots", metrics.changes.clone());
        registry.register("apply_seconds", "Time from updates to the snapshot's publication", metrics.apply_seconds.clone());
        metrics
    }

    /// Counts a failure of a watch.
    pub(super) fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&KindLabel { kind }).inc();
        self.watch_failing.get_or_create(&KindLabel { kind }).set(1);
    }

    /// Notes that a watch works.
    pub(super) fn watch_works(&self, kind: &'static str) {
        self.watch_failing.get_or_create(&KindLabel { kind }).set(0);
    }

    /// Shows how many objects are not understood.
    pub(super) fn set_rejected(&self, rejected: &RejectedObjects) {
        let mut counts = BTreeMap::<_, i64>::new();
        for object in rejected.keys() {
            *counts.entry(object.kind).or_default() += 1;
        }
        self.rejected.clear();
        for (kind, count) in counts {
            self.rejected.get_or_create(&KindLabel { kind }).set(count);
        }
    }
}
