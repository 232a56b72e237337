//! Metrics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ProviderReference, WorkloadMode};
use crate::object::api_objects;
use crate::schema::{self, Rules};

api_objects! {
    /// Which metrics are collected.
    pub struct Metrics {
        /// Who gets the metrics. Without it: the mesh's default.
        pub providers: Vec<ProviderReference>,
        /// Changes, in order: first the general ones, then the special ones.
        pub overrides: Vec<MetricsOverride>,
        /// How often metrics are reported, for providers that are reported to.
        #[schemars(schema_with = "schema::duration")]
        pub reporting_interval: Option<String>,
    }

    /// A change to some of the metrics.
    pub struct MetricsOverride {
        /// The metrics meant. Without it: all, in both directions.
        #[serde(rename = "match")]
        pub match_: Option<MetricSelector>,
        /// Whether they are not collected; `false` brings back what a wider object took away.
        pub disabled: Option<bool>,
        /// Changes to the labels of the metrics, by the label's name.
        pub tag_overrides: BTreeMap<String, TagOverride>,
    }

    /// Selects metrics.
    #[schemars(transform = Rules(&[(
        "!(has(self.metric) && has(self.customMetric))", "only one of metric and customMetric may be set",
    )]))]
    pub struct MetricSelector {
        /// One of the mesh's own metrics, or ALL_METRICS.
        pub metric: Option<IstioMetric>,
        /// Any metric, by name.
        #[schemars(length(min = 1))]
        pub custom_metric: Option<String>,
        /// CLIENT, SERVER, or CLIENT_AND_SERVER (the default).
        pub mode: Option<WorkloadMode>,
    }

    /// A change to a label.
    #[schemars(transform = Rules(&[
        ("has(self.value) ? self.value != '' : has(self.operation) && self.operation == 'REMOVE'",
         "value must be set unless operation is REMOVE"),
        ("!has(self.operation) || self.operation != 'REMOVE' || !has(self.value)",
         "value must not be set when operation is REMOVE"),
    ]))]
    pub struct TagOverride {
        /// UPSERT (the default): add or change the label. REMOVE: leave it out.
        pub operation: Option<TagOperation>,
        /// The label's value: an expression in CEL over Envoy's attributes, for example `request.host`.
        pub value: Option<String>,
    }
}

/// The mesh's own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum IstioMetric {
    /// All of them.
    AllMetrics,
    /// `istio_requests_total`.
    RequestCount,
    /// `istio_request_duration_milliseconds`.
    RequestDuration,
    /// `istio_request_bytes`.
    RequestSize,
    /// `istio_response_bytes`.
    ResponseSize,
    /// `istio_tcp_connections_opened_total`.
    TcpOpenedConnections,
    /// `istio_tcp_connections_closed_total`.
    TcpClosedConnections,
    /// `istio_tcp_sent_bytes_total`.
    TcpSentBytes,
    /// `istio_tcp_received_bytes_total`.
    TcpReceivedBytes,
    /// `istio_request_messages_total`.
    GrpcRequestMessages,
    /// `istio_response_messages_total`.
    GrpcResponseMessages,
}

/// What becomes of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum TagOperation {
    /// It is added or changed.
    Upsert,
    /// It is left out.
    Remove,
}
