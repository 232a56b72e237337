//! The compiler as a whole: facts about what a proxy gets from a mesh, and what real Envoy makes of it.

mod capture;
mod cluster_settings;
mod clusters;
mod credentials;
mod delegates;
mod endpoints;
mod envoy;
mod envoy_routes;
mod failures;
mod gateway;
mod goldens;
mod grpc;
mod hosts;
mod in_place;
mod inbound;
mod incremental;
mod laws;
mod networks;
mod outbound;
mod patches;
mod policies;
mod policies_envoy;
mod rivals;
mod route_actions;
mod routes;
mod sharing;
mod sidecars;

use envoy_api::envoy::config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment};
use prost::Message;

use super::{Compiled, Proxy, ResourceType, compile};
use crate::model::WorkloadKey;
use crate::testing::{
    bootstrap::{self, as_json as json, names},
    mesh::{TestMesh, proxy_of},
};

/// The sidecar, or with the label of one the gateway, of a workload.
fn proxy(mesh: &TestMesh, namespace: &str, name: &str) -> Proxy {
    proxy_of(mesh.workloads.get(&WorkloadKey::new(namespace, name)).unwrap())
}

/// What a workload's proxy gets.
fn compiled(mesh: &TestMesh, namespace: &str, name: &str) -> Compiled {
    compile(mesh.snapshot(), &proxy(mesh, namespace, name))
}

fn decoded<M: Message + Default>(compiled: &Compiled, kind: ResourceType, name: &str) -> M {
    let resource = compiled.get(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}; there are {:?}", names(compiled, kind)));
    bootstrap::decoded(resource)
}

fn cluster(compiled: &Compiled, name: &str) -> Cluster {
    decoded(compiled, ResourceType::Cluster, name)
}

fn assignment(compiled: &Compiled, name: &str) -> ClusterLoadAssignment {
    decoded(compiled, ResourceType::Endpoints, name)
}
