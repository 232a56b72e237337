//! WorkloadGroup: what WorkloadEntries that register themselves have in common, as a Deployment says it of pods.

use std::collections::BTreeMap;

use kube::CustomResource;

use super::workload_entry::{NEEDS_ADDRESS, WorkloadEntrySpec};
use crate::object::api_objects;
use crate::schema::{Required, Rules, WithoutRule};
use crate::status::MeshStatus;

api_objects! {
    /// What the workloads of the group have in common.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "WorkloadGroup", namespaced,
        plural = "workloadgroups", shortname = "wg",
        category = "istio-io", category = "networking-istio-io",
        doc = "Describes a group of workloads outside of Kubernetes, from which their WorkloadEntries are made.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Required(&["template"]))]
    pub struct WorkloadGroupSpec {
        /// Labels and annotations of the WorkloadEntries.
        pub metadata: Option<WorkloadMetadata>,
        /// The WorkloadEntries' own fields, without `address` and `labels`.
        #[schemars(transform = WithoutRule(NEEDS_ADDRESS))]
        pub template: Option<WorkloadEntrySpec>,
        /// How a workload's health is found out.
        pub probe: Option<ReadinessProbe>,
    }

    /// Labels and annotations of WorkloadEntries.
    pub struct WorkloadMetadata {
        /// Labels.
        #[schemars(extend("maxProperties" = 256))]
        pub labels: BTreeMap<String, String>,
        /// Annotations.
        #[schemars(extend("maxProperties" = 256))]
        pub annotations: BTreeMap<String, String>,
    }

    /// How a workload's health is found out: by exactly one of the four ways.
    #[schemars(transform = Rules(&[(
        "(has(self.httpGet) ? 1 : 0) + (has(self.tcpSocket) ? 1 : 0) + (has(self.exec) ? 1 : 0) + (has(self.grpc) ? 1 : 0) == 1",
        "exactly one of httpGet, tcpSocket, exec and grpc is needed",
    )]))]
    pub struct ReadinessProbe {
        /// How many seconds after the start of the workload the first probe is made.
        #[schemars(range(min = 0, max = 2147483647))]
        pub initial_delay_seconds: Option<i32>,
        /// How many seconds an answer may take; 1 without it.
        #[schemars(range(min = 0, max = 2147483647))]
        pub timeout_seconds: Option<i32>,
        /// How many seconds lie between probes; 10 without it.
        #[schemars(range(min = 0, max = 2147483647))]
        pub period_seconds: Option<i32>,
        /// How many probes in a row must succeed before the workload counts as healthy again; 1 without it.
        #[schemars(range(min = 0, max = 2147483647))]
        pub success_threshold: Option<i32>,
        /// How many probes in a row must fail before the workload counts as unhealthy; 3 without it.
        #[schemars(range(min = 0, max = 2147483647))]
        pub failure_threshold: Option<i32>,
        /// An HTTP request that must be answered with a status from 200 to 399.
        pub http_get: Option<HttpProbe>,
        /// A connection that must be accepted.
        pub tcp_socket: Option<TcpProbe>,
        /// A command that must end with the status 0.
        pub exec: Option<ExecProbe>,
        /// A call of gRPC's health service.
        pub grpc: Option<GrpcProbe>,
    }

    /// An HTTP request.
    #[schemars(transform = Required(&["port"]))]
    pub struct HttpProbe {
        /// The path.
        pub path: Option<String>,
        /// The port.
        #[schemars(range(min = 1, max = 65535))]
        pub port: Option<u32>,
        /// The host to connect to; the workload's own address without it.
        pub host: Option<String>,
        /// HTTP, or HTTPS; HTTP without it.
        #[schemars(length(max = 5), transform = Rules(&[("self in ['', 'HTTP', 'HTTPS']", "must be HTTP or HTTPS")]))]
        pub scheme: Option<String>,
        /// Headers of the request; a name may occur more than once.
        #[schemars(length(max = 1024))]
        pub http_headers: Vec<HttpProbeHeader>,
    }

    /// A header.
    pub struct HttpProbeHeader {
        /// Its name.
        #[schemars(extend("pattern" = "^[-_A-Za-z0-9]+$"))]
        pub name: Option<String>,
        /// Its value.
        pub value: Option<String>,
    }

    /// A connection.
    #[schemars(transform = Required(&["port"]))]
    pub struct TcpProbe {
        /// The host; localhost without it.
        pub host: Option<String>,
        /// The port.
        #[schemars(range(min = 1, max = 65535))]
        pub port: Option<u32>,
    }

    /// A command.
    #[schemars(transform = Required(&["command"]))]
    pub struct ExecProbe {
        /// The program and its arguments; no shell is involved.
        #[schemars(length(max = 1024), inner(length(min = 1)))]
        pub command: Vec<String>,
    }

    /// A call of gRPC's health service.
    pub struct GrpcProbe {
        /// The port.
        #[schemars(range(min = 1, max = 65535))]
        pub port: Option<u32>,
        /// The service that is asked about; the server as a whole without it.
        pub service: Option<String>,
    }
}
