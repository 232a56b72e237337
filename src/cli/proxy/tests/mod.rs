//! What the verbs show: of dumps of compiled configuration, of a real Envoy's own page, and of pods behind an API server.

pub(crate) mod live;
mod saved;
mod status;

use serde_json::{Value, json};

use crate::compile::{ResourceType, compile};
use crate::model::WorkloadKey;
use crate::testing::{
    bootstrap::{as_json, names},
    mesh::{TestMesh, proxy_of},
};

/// What Envoy would tell of a workload's compiled configuration.
fn dump(mesh: &TestMesh, namespace: &str, name: &str) -> Value {
    let compiled = compile(mesh.snapshot(), &proxy_of(&mesh.workloads[&WorkloadKey::new(namespace, name)]));
    let all = |kind, within: &str| -> Vec<Value> {
        let names = names(&compiled, kind);
        names.iter().map(|name| json!({"version_info": "1", within: as_json(&compiled, kind, name)})).collect()
    };
    let listeners: Vec<Value> = all(ResourceType::Listener, "listener").into_iter().map(|state| json!({"active_state": state})).collect();
    let part =
        |name: &str, list: &str, entries: Vec<Value>| json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{name}"), list: entries});
    json!({"configs": [
        part("ClustersConfigDump", "dynamic_active_clusters", all(ResourceType::Cluster, "cluster")),
        part("EndpointsConfigDump", "dynamic_endpoint_configs", all(ResourceType::Endpoints, "endpoint_config")),
        part("ListenersConfigDump", "dynamic_listeners", listeners),
        part("RoutesConfigDump", "dynamic_route_configs", all(ResourceType::Route, "route_config")),
    ]})
}
