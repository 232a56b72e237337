//! What the injector counts, under the reference's names: `sidecar_injection_…`.

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

/// The injector's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Pods that the API server asked about.
    pub(super) requests: Counter,
    /// Pods that got a sidecar.
    pub(super) success: Counter,
    /// Pods that were refused.
    pub(super) failure: Counter,
    /// Pods that stay as they are.
    pub(super) skip: Counter,
    /// From question to answer.
    pub(super) seconds: Histogram,
    /// 1 while a changed file is refused and the settings from before hold.
    settings_refused: Family<FileLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    file: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Counter::default(),
            success: Counter::default(),
            failure: Counter::default(),
            skip: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.000_05, 4.0, 8)),
            settings_refused: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("sidecar_injection");
        registry.register("requests", "Pods that were asked about", metrics.requests.clone());
        registry.register("success", "Pods that got a sidecar", metrics.success.clone());
        registry.register("failure", "Pods that were refused", metrics.failure.clone());
        registry.register("skip", "Pods that were left as they are", metrics.skip.clone());
        registry.register("time_seconds", "Time from question to answer", metrics.seconds.clone());
        registry.register("settings_refused", "1 while a changed file of settings is refused", metrics.settings_refused.clone());
        metrics
    }

    /// Says whether the last content of a file was refused.
    pub(super) fn refused(&self, file: &'static str, refused: bool) {
        self.settings_refused.get_or_create(&FileLabel { file }).set(refused.into());
    }
}
