//! An address behind a service.

use std::sync::Arc;

use super::{Labels, SpiffeId, WorkloadKey};

/// What stands before the path of a Unix socket where an address is expected.
pub const UNIX_SOCKET: &str = "unix://";

/// Whether an endpoint may get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It is ready.
    Healthy,
    /// It is going away: connections stay, new requests go elsewhere.
    Draining,
    /// It is not ready; sent only where a service publishes such addresses.
    Unhealthy,
}

/// One address of one service port.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// An IP address, a host name where the service is resolved by DNS, or [`UNIX_SOCKET`] and a path on the client's machine; empty where
    /// its network's gateway alone knows it.
    pub address: Arc<str>,
    /// The first part of the name that this pod of a headless Service has in DNS, if it has one: `db-0`.
    pub hostname: Option<Arc<str>>,
    /// The port that the workload listens on; 0 for a socket.
    pub port: u16,
    /// The name of the service port that it belongs to; empty for the unnamed one.
    pub service_port: Arc<str>,
    /// Whether it may get traffic.
    pub health: Health,
    /// Labels, which subsets match; the one of its network among them, if that is known.
    pub labels: Arc<Labels>,
    /// The workload behind it, if the mesh knows it.
    pub workload: Option<WorkloadKey>,
    /// Whom to expect when speaking mTLS to it.
    pub identity: Option<SpiffeId>,
    /// Whether it answers the mesh's mTLS.
    pub mtls: bool,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: Arc<str>,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
}
