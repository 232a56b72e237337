//! What pilot counts, under the names that Istio's dashboards ask for: `pilot_…`.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::compile::ResourceType;
use crate::model::{Change, Changes, Snapshot};
use crate::runtime::Registry;

/// Pilot's metrics. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Connected proxies.
    pub(super) connected: Gauge,
    pushes: Family<TypeLabel, PlainCounter>,
    sizes: Family<TypeLabel, Histogram>,
    rejects: PlainCounter,
    rejects_by_type: Family<TypeLabel, PlainCounter>,
    internal_errors: PlainCounter,
    objects_at_fault: Gauge,
    status_failures: PlainCounter,
    push_time: Family<TypeLabel, Histogram>,
    refused_nodes: PlainCounter,
    convergence: Histogram,
    triggers: Family<TypeLabel, PlainCounter>,
    services: Gauge,
    virtual_services: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

/// A counter whose name lacks the `_total` that OpenMetrics demands, because dashboards know it without; so it is of no declared type.
#[derive(Clone, Debug, Default)]
struct PlainCounter(Counter);

// === impl PlainCounter ===

impl EncodeMetric for PlainCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&i64::try_from(self.0.get()).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for PlainCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            connected: Gauge::default(),
            pushes: Family::default(),
            sizes: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e3, 4.0, 9))),
            rejects: PlainCounter::default(),
            rejects_by_type: Family::default(),
            internal_errors: PlainCounter::default(),
            objects_at_fault: Gauge::default(),
            status_failures: PlainCounter::default(),
            push_time: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 3.0, 11))),
            refused_nodes: PlainCounter::default(),
            convergence: Histogram::new(exponential_buckets(0.000_5, 3.0, 11)),
            triggers: Family::default(),
            services: Gauge::default(),
            virtual_services: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("pilot");
        registry.register("xds", "Connected proxies", metrics.connected.clone());
        registry.register("xds_pushes", "Responses sent, by type", metrics.pushes.clone());
        registry.register("xds_config_size_bytes", "Size of responses, by type", metrics.sizes.clone());
        registry.register("total_xds_rejects", "Responses that proxies refused", metrics.rejects.clone());
        registry.register("xds_rejects", "Responses that proxies refused, by type", metrics.rejects_by_type.clone());
        let help = "Parts of configurations on which the compiler failed, and refusals that no object explains";
        registry.register("total_xds_internal_errors", help, metrics.internal_errors.clone());
        registry.register("objects_at_fault", "Objects that proxies refuse or the compiler fails on", metrics.objects_at_fault.clone());
        registry.register("status_failures", "Statuses of objects that could not be written", metrics.status_failures.clone());
        let help = "Seconds from a response's first byte until the proxy answers it, by type";
        registry.register("xds_push_time", help, metrics.push_time.clone());
        registry.register("xds_refused_nodes", "Streams of nodes that are not who they say they are", metrics.refused_nodes.clone());
        let help = "Seconds from a change's arrival until a proxy has acknowledged all of it";
        registry.register("proxy_convergence_time", help, metrics.convergence.clone());
        registry.register("push_triggers", "Changes of the mesh, by type", metrics.triggers.clone());
        registry.register("services", "Services in the mesh", metrics.services.clone());
        registry.register("virt_services", "VirtualServices in the mesh", metrics.virtual_services.clone());
        metrics
    }

    /// Counts a response of so many bytes.
    pub(super) fn pushed(&self, kind: ResourceType, size: usize) {
        let label = TypeLabel { r#type: short_name(kind) };
        self.pushes.get_or_create(&label).0.inc();
        self.sizes.get_or_create(&label).observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    /// Counts a refused response.
    pub(super) fn refused(&self, kind: ResourceType) {
        self.rejects.0.inc();
        self.rejects_by_type.get_or_create(&TypeLabel { r#type: short_name(kind) }).0.inc();
    }

    /// Counts a failure that is no user's, but the mesh's own.
    pub(super) fn failed_internally(&self) {
        self.internal_errors.0.inc();
    }

    /// Notes how many objects are at fault.
    pub(super) fn set_objects_at_fault(&self, count: usize) {
        self.objects_at_fault.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a status that could not be written.
    pub(super) fn failed_to_tell(&self) {
        self.status_failures.0.inc();
    }

    /// Notes how long a proxy took for a response.
    pub(super) fn answered(&self, kind: ResourceType, time: Duration) {
        self.push_time.get_or_create(&TypeLabel { r#type: short_name(kind) }).observe(time.as_secs_f64());
    }

    /// Counts a refused proxy.
    pub(super) fn refused_node(&self) {
        self.refused_nodes.0.inc();
    }

    /// Notes how long a change took until a proxy had all of it.
    pub(super) fn converged(&self, time: Duration) {
        self.convergence.observe(time.as_secs_f64());
    }

    /// Notes what the mesh has become.
    pub(super) fn mesh_changed(&self, snapshot: &Snapshot, changes: &Changes) {
        let as_gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.services.set(as_gauge(snapshot.services.size()));
        self.virtual_services.set(as_gauge(snapshot.config.virtual_services.size()));
        for change in changes {
            let r#type = match change {
                Change::Mesh => "global",
                Change::Service(_) => "service",
                Change::Endpoints(_) => "endpoint",
                Change::Workload(_) => "proxy",
                Change::Config(_) => "config",
                Change::Secret(_) => "secret",
            };
            self.triggers.get_or_create(&TypeLabel { r#type }).0.inc();
        }
    }
}

/// How dashboards and people call a kind.
pub(super) fn short_name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "cds",
        ResourceType::Endpoints => "eds",
        ResourceType::Secret => "sds",
        ResourceType::Listener => "lds",
        ResourceType::Route => "rds",
        ResourceType::VirtualHost => "vhds",
        ResourceType::Name => "nds",
    }
}
