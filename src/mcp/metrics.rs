//! What a client of galley counts, as `mcp_…`.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use crate::runtime::Registry;

/// A client's metrics. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    /// 1 while there is a stream on which every kind has been answered.
    pub(super) connected: Gauge,
    /// Streams that could not be opened, or broke.
    pub(super) failures: Counter,
    /// Sets of changes that were handed out.
    pub(super) sets: Counter,
    /// Resources that came.
    pub(super) resources: Counter,
    /// Resources that could not be read.
    pub(super) unreadable: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("mcp");
        registry.register("connected", "1 while galley has told everything; else what is known may be old", metrics.connected.clone());
        registry.register("failures", "Streams from galley that could not be opened, or broke", metrics.failures.clone());
        registry.register("sets", "Sets of changes taken from galley", metrics.sets.clone());
        registry.register("resources", "Resources that galley sent", metrics.resources.clone());
        registry.register("unreadable", "Resources from galley that could not be read", metrics.unreadable.clone());
        metrics
    }
}
