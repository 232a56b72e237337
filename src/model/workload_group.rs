//! A WorkloadGroup as it was parsed: what WorkloadEntries that register themselves have in common.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Labels, ObjectRef};

/// The template of WorkloadEntries.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadGroup {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of the WorkloadEntries.
    pub labels: Labels,
    /// Annotations of the WorkloadEntries.
    pub annotations: BTreeMap<String, String>,
    /// Port numbers by the names of service ports.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
    /// `region/zone/subzone`; empty if not given.
    pub locality: Arc<str>,
    /// The network; empty if not given.
    pub network: Arc<str>,
    /// The service account that the workloads run as.
    pub service_account: Arc<str>,
    /// How a workload's health is found out; `None` if it is not.
    pub probe: Option<WorkloadProbe>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// How a workload's health is found out.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadProbe {
    /// From the start of the workload to the first probe.
    pub initial_delay: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// From one probe to the next.
    pub period: Duration,
    /// Successes in a row that make it healthy.
    pub success_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub failure_threshold: u32,
    /// What is tried.
    pub check: HealthCheck,
}

/// What a probe tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// An HTTP request.
    Http {
        /// Whether by TLS.
        tls: bool,
        /// The host; empty for the workload's own address.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// The path.
        path: Arc<str>,
        /// Headers, by name and value.
        headers: Vec<(Arc<str>, Arc<str>)>,
    },
    /// A connection.
    Tcp {
        /// The host; empty for localhost.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// A command with its arguments.
    Exec(Vec<Arc<str>>),
    /// A call of gRPC's health service.
    Grpc {
        /// The port.
        port: u16,
        /// The service that is asked about; empty for the server as a whole.
        service: Arc<str>,
    },
}
