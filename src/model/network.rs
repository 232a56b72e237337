//! Networks of the mesh: workloads that reach each other at their addresses, and the gateways by which all others reach them.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The label that says in which network a workload is, and of a Service that it is a network's gateway.
pub const NETWORK: &str = "topology.istio.io/network";

/// The port of a network's gateway for the mesh's own mTLS, where nobody says another.
pub const GATEWAY_PORT: u16 = 15443;

/// A network, as `meshNetworks` describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MeshNetwork {
    /// Workloads in it whose labels do not say where they are.
    pub endpoints: Vec<NetworkEndpoints>,
    /// How it is reached from other networks.
    pub gateways: Vec<NetworkGateway>,
}

/// Workloads of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkEndpoints {
    /// Those with these addresses.
    pub from_cidr: IpNet,
}

/// A gateway of a network: an address, or a Service with one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkGateway {
    /// The address at which it is reached.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The full name of the Service at whose outside addresses it is reached.
    #[serde(default)]
    pub registry_service_name: Option<String>,
    /// The port for the mesh's own mTLS.
    pub port: u16,
}

/// What others reach a Service by, from outside of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outside {
    /// Addresses of its load balancer, and those that its `externalIPs` list.
    pub addresses: Vec<IpAddr>,
    /// The network whose gateway it is, and the port for the mesh's own mTLS.
    pub gateway_of: Option<(Arc<str>, u16)>,
}
