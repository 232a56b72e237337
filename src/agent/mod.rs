//! Everything inside a meshed pod: one pod's Envoy, from the redirect rules to its orderly end.
//!
//! *init* ([`Capture`], [`apply`]) writes the redirect rules and ends. *proxy* becomes process 1, a program of its own
//! (`ferromesh_supervisor`): it starts Envoy and the *agent proper*, brings back the one that fell and leads the drain. The agent proper
//! ([`start`]) gets the workload's certificate from citadel, serves it to Envoy, writes Envoy's bootstrap, answers the kubelet's probes in
//! the application's place and merges metrics.
//!
//! It watches the mounted token and roots, Envoy's admin port and signals. It asks pilot once, before Envoy starts, what users change in
//! the bootstrap, and follows the names of the mesh where it answers the application's DNS queries (`dns`); all else Envoy gets from pilot
//! itself, with the certificate from here. Beside an application that speaks xDS by its own gRPC library there is no Envoy (`grpc`). It
//! never speaks to Kubernetes, and never writes a key to a disk.

mod admin;
mod bootstrap;
mod changes;
mod dns;
mod downward;
mod drain;
mod envoy;
mod grpc;
mod http;
mod node;
mod orders;
mod redirect;
mod sds;
mod start;
mod status;

pub use admin::{EnvoyAdmin, EnvoyState};
pub use bootstrap::bootstrap;
pub use dns::{DnsConfig, ResolvConf};
pub use downward::parse_downward;
pub use drain::DrainTimes;
pub use envoy::envoy_arguments;
pub use ferromesh_supervisor::Order;
pub use http::HttpError;
pub use node::ProxyFacts;
pub use orders::obey_through_stdout;
pub use redirect::{
    Action, Backend, Capture, CaptureError, Chain, DnsCapture, Family, Hook, Match, RedirectError, Rule, Rules, Selection, Stage,
    VerifyError, apply, apply_in, restore_input, verify,
};
pub use start::{AgentConfig, AgentListeners, DataPlane, StartError, bind, remedy, start};
pub use status::{AppMetrics, Probe, ProbeError, parse_probes, wait_until_ready};

/// The name of the workload's certificate among Envoy's secrets.
const IDENTITY_SECRET: &str = "default";
/// The name of the mesh's roots among Envoy's secrets.
const ROOTS_SECRET: &str = "ROOTCA";
/// The socket from which Envoy gets them, below its working directory.
const SDS_SOCKET: &str = "var/run/secrets/workload-spiffe-uds/socket";
/// Envoy's bootstrap, below its working directory. The ending tells Envoy the form.
const BOOTSTRAP: &str = "envoy-bootstrap.pb";
/// One that Envoy is asked about before it becomes that.
const TRIAL_BOOTSTRAP: &str = "envoy-bootstrap-trial.pb";

/// Ports of a sidecar that are not the workload's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Envoy's administration, on loopback.
    pub admin: u16,
    /// The agent: health, merged metrics, probes.
    pub status: u16,
    /// Health, through Envoy.
    pub health: u16,
    /// Envoy's own metrics.
    pub metrics: u16,
    /// The agent, where it answers DNS queries.
    pub dns: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { admin: 15000, status: 15020, health: 15021, metrics: 15090, dns: 15053 }
    }
}
