//! A Telemetry as it was parsed: what workloads report.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{ObjectRef, PolicyTarget};

/// What workloads report.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The object.
    pub origin: ObjectRef,
    /// Whose workloads report.
    pub target: PolicyTarget,
    /// Traces; `None` says nothing of them.
    pub tracing: Option<Tracing>,
    /// Metrics.
    pub metrics: Vec<Metrics>,
    /// Access logs.
    pub access_logging: Vec<AccessLogging>,
    /// Seconds since the epoch at which the object was made: of two for the same workloads the oldest holds.
    pub created: i64,
}

/// The direction of traffic, as the workload sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrafficDirection {
    /// Both.
    #[default]
    Both,
    /// What the workload sends out.
    Outbound,
    /// What the workload is sent.
    Inbound,
}

/// How requests are traced. `None` inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// The direction that it is about.
    pub direction: TrafficDirection,
    /// Who gets the spans; `None` inherits.
    pub provider: Option<Arc<str>>,
    /// How many hundredths of a percent are traced.
    pub sampling: Option<u32>,
    /// Whether spans are kept back.
    pub no_spans: Option<bool>,
    /// Whether the headers of traces are not handed on.
    pub no_propagation: Option<bool>,
    /// Tags by name; an empty map inherits.
    pub tags: BTreeMap<Arc<str>, TagValue>,
    /// Whether the request's id decides.
    pub by_request_id: Option<bool>,
    /// Whether spans carry the mesh's own tags.
    pub mesh_tags: Option<bool>,
}

/// Where a tag's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    /// Always this.
    Literal(Arc<str>),
    /// A variable of the proxy's environment, and what is taken without it.
    Environment(Arc<str>, Arc<str>),
    /// A header of the request, and what is taken without it.
    Header(Arc<str>, Arc<str>),
    /// A text with Envoy's command operators.
    Format(Arc<str>),
}

/// Which metrics are collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Who gets them; empty inherits.
    pub providers: Vec<Arc<str>>,
    /// Changes, in order.
    pub overrides: Vec<MetricsOverride>,
    /// How often they are reported.
    pub interval: Option<Duration>,
}

/// A change to some of the metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsOverride {
    /// Which.
    pub metric: MetricName,
    /// In which direction.
    pub direction: TrafficDirection,
    /// Whether they are not collected; `None` inherits.
    pub disabled: Option<bool>,
    /// Labels with the expression of their value; `None` takes the label away.
    pub labels: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

/// Names metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricName {
    /// All of the mesh's own.
    All,
    /// One of the mesh's own.
    Standard(StandardMetric),
    /// Any other.
    Custom(Arc<str>),
}

/// The mesh's own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StandardMetric {
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

/// What is logged.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogging {
    /// The direction that it is about.
    pub direction: TrafficDirection,
    /// Who gets the log; empty inherits.
    pub providers: Vec<Arc<str>>,
    /// Whether nothing is logged; `None` inherits.
    pub disabled: Option<bool>,
    /// An expression in CEL, read by the parser; what it is true for is logged.
    pub filter: Option<Arc<str>>,
}
