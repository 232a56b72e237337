//! The compiler as a whole: facts about what a proxy gets from a mesh, and what real Envoy makes of it.

mod bootstrap;
mod clusters;
mod delegates;
mod endpoints;
mod envoy;
mod envoy_routes;
mod failures;
mod gateway;
mod goldens;
mod in_place;
mod inbound;
mod incremental;
mod outbound;
mod policies;
mod policies_envoy;
mod route_actions;
mod routes;
mod sharing;

use envoy_api::envoy::config::{
    cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration,
};
use prost::Message;
use serde_json::Value;

use super::{Compiled, Proxy, ResourceType, compile};
use crate::model::{ProxyRole, WorkloadKey};
use crate::testing::mesh::TestMesh;

/// The sidecar, or with the label of one the gateway, of a workload.
fn proxy(mesh: &TestMesh, namespace: &str, name: &str) -> Proxy {
    let workload = mesh.workloads.get(&WorkloadKey::new(namespace, name)).unwrap();
    let gateway = workload.labels.contains_key("istio");
    Proxy {
        role: if gateway { ProxyRole::Router } else { ProxyRole::Sidecar },
        key: workload.key.clone(),
        labels: workload.labels.clone(),
        addresses: workload.addresses.clone(),
        identity: workload.identity.clone(),
        node: workload.node.clone(),
        locality: workload.locality.clone(),
        named_ports: workload.named_ports.clone(),
    }
}

/// What a workload's proxy gets.
fn compiled(mesh: &TestMesh, namespace: &str, name: &str) -> Compiled {
    compile(mesh.snapshot(), &proxy(mesh, namespace, name))
}

fn decoded<M: Message + Default>(compiled: &Compiled, kind: ResourceType, name: &str) -> M {
    let resource = compiled.get(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}; there are {:?}", names(compiled, kind)));
    M::decode(&*resource.body).unwrap()
}

fn names(compiled: &Compiled, kind: ResourceType) -> Vec<String> {
    compiled.resources(kind).iter().map(|resource| resource.name.to_string()).collect()
}

fn cluster(compiled: &Compiled, name: &str) -> Cluster {
    decoded(compiled, ResourceType::Cluster, name)
}

fn assignment(compiled: &Compiled, name: &str) -> ClusterLoadAssignment {
    decoded(compiled, ResourceType::Endpoints, name)
}

fn listener(compiled: &Compiled, name: &str) -> Listener {
    decoded(compiled, ResourceType::Listener, name)
}

fn table(compiled: &Compiled, name: &str) -> RouteConfiguration {
    decoded(compiled, ResourceType::Route, name)
}

/// A resource as Envoy's JSON, packed messages opened: facts deep inside are easier to ask for there.
fn json(compiled: &Compiled, kind: ResourceType, name: &str) -> Value {
    match kind {
        ResourceType::Cluster => envoy_api::json::to_value(&cluster(compiled, name)),
        ResourceType::Endpoints => envoy_api::json::to_value(&assignment(compiled, name)),
        ResourceType::Listener => envoy_api::json::to_value(&listener(compiled, name)),
        ResourceType::Route => envoy_api::json::to_value(&table(compiled, name)),
    }
    .unwrap()
}
