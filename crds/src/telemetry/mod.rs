//! `telemetry.istio.io`: what proxies report.

pub mod access_logging;
pub mod metrics;
pub mod tracing;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{Required, Rules};
use crate::selector::{MatchLabels, ONE_TARGET, TargetReference};
use crate::status::MeshStatus;

use access_logging::AccessLogging;
use metrics::Metrics;
use tracing::Tracing;

api_objects! {
    /// What workloads report: traces, metrics and access logs.
    #[derive(CustomResource)]
    #[kube(
        group = "telemetry.istio.io", version = "v1alpha1", kind = "Telemetry", namespaced,
        plural = "telemetries", shortname = "telemetry",
        category = "istio-io", category = "telemetry-istio-io",
        doc = "Decides what workloads report of their traffic.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[ONE_TARGET]))]
    pub struct TelemetrySpec {
        /// The workloads meant. Without it, and without `targetRefs`, all of the namespace, and of the whole mesh when the object
        /// lives in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// The resource whose workloads are meant. Use `targetRefs`.
        pub target_ref: Option<TargetReference>,
        /// The resources whose workloads are meant: Gateways, GatewayClasses, Services, ServiceEntries.
        #[schemars(length(max = 16))]
        pub target_refs: Vec<TargetReference>,
        /// Traces. Of several entries only the first counts.
        pub tracing: Vec<Tracing>,
        /// Metrics.
        pub metrics: Vec<Metrics>,
        /// Access logs.
        pub access_logging: Vec<AccessLogging>,
    }

    /// Somebody to whom is reported.
    #[schemars(transform = Required(&["name"]))]
    pub struct ProviderReference {
        /// The provider's name in the mesh's settings (`extensionProviders`).
        #[schemars(length(min = 1))]
        pub name: String,
    }
}

/// The direction of traffic, as the workload sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum WorkloadMode {
    /// Both.
    ClientAndServer,
    /// What the workload sends out.
    Client,
    /// What the workload is sent.
    Server,
}
