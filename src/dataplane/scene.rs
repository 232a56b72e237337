//! A cluster from YAML, and the Envoys of its pods.

use std::sync::Arc;

use ferromesh_crds::catalog;
use k8s_openapi::api::{
    core::v1::{Secret, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::compile::{Compiled, Proxy, compile};
use crate::config::kubernetes::PodView;
use crate::config::{ParseContext, mesh_config, parse_object};
use crate::index::StillCluster;
use crate::model::{Snapshot, SpiffeId, WorkloadKey};
use crate::testing::{
    TestCa,
    bootstrap::Static,
    envoy::{RunningEnvoy, start},
    mesh::proxy_of,
};

/// A cluster at rest.
pub(super) struct Scene {
    pub(super) snapshot: Arc<Snapshot>,
}

// === impl Scene ===

impl Scene {
    /// The cluster with these objects and the mesh's default settings. Panics if admission would refuse one.
    pub(super) fn of(yaml: &str) -> Self {
        Self::with(yaml, "")
    }

    /// The same with a MeshConfig.
    pub(super) fn with(yaml: &str, mesh: &str) -> Self {
        let context = ParseContext::default();
        let mut cluster = StillCluster::new(mesh_config(mesh).unwrap());
        for object in objects(yaml) {
            match object["kind"].as_str().unwrap_or_default() {
                "Service" => cluster.add_service(&typed::<Service>(object), &context.cluster_domain),
                "EndpointSlice" => cluster.add_slice(&typed::<EndpointSlice>(object)),
                "Secret" => cluster.add_secret(&typed::<Secret>(object)),
                "Pod" => cluster.add_pod(&typed::<PodView>(object)),
                kind => {
                    let group = object["apiVersion"].as_str().and_then(|it| it.split_once('/')).map_or("", |(group, _)| group);
                    let kind = catalog::find(group, kind).unwrap_or_else(|| panic!("no kind {kind:?} in group {group:?}"));
                    let parsed = parse_object(kind.group, kind.name, &object, &context);
                    cluster.add_config(parsed.unwrap_or_else(|invalid| panic!("{object}: {invalid}")).value);
                }
            }
        }
        Self { snapshot: cluster.snapshot() }
    }

    /// What the proxy of a pod, `NAMESPACE/NAME`, gets.
    pub(super) fn compiled(&self, pod: &str) -> Compiled {
        compile(self.snapshot.clone(), &self.proxy(pod))
    }

    fn proxy(&self, pod: &str) -> Proxy {
        let (namespace, name) = pod.split_once('/').unwrap_or_else(|| panic!("{pod} is not NAMESPACE/NAME"));
        let workload = self.snapshot.workloads.get(&WorkloadKey::new(namespace, name)).unwrap_or_else(|| panic!("no pod {pod}"));
        proxy_of(workload)
    }

    /// The same for a pod that has that authority's certificate.
    pub(super) async fn envoy_of(&self, ca: &TestCa, pod: &str, listener: &str) -> (RunningEnvoy, u16) {
        let identity = SpiffeId::new("cluster.local", "shop", "anybody");
        let envoy = start(Static::of(&self.compiled(pod)).identified(ca, &identity).listening(listener, 0).bootstrap()).await;
        let port = envoy.port_of(listener).await;
        (envoy, port)
    }

    /// The Envoy of a pod, with one of its listeners bound to a port of loopback; and that port.
    pub(super) async fn envoy(&self, pod: &str, listener: &str) -> (RunningEnvoy, u16) {
        let envoy = start(Static::of(&self.compiled(pod)).listening(listener, 0).bootstrap()).await;
        let port = envoy.port_of(listener).await;
        (envoy, port)
    }

    /// The same for a pod that knows its own place, and where the other pods of its service are.
    pub(super) async fn envoy_that_knows_its_place(&self, pod: &str, (region, zone): (&str, &str), listener: &str) -> (RunningEnvoy, u16) {
        let compiled = compile(self.snapshot.clone(), &Proxy { discovers_itself: true, ..self.proxy(pod) });
        let bootstrap = Static::of(&compiled).discovering_itself(&compiled, region, zone).listening(listener, 0).bootstrap();
        let envoy = start(bootstrap).await;
        let port = envoy.port_of(listener).await;
        (envoy, port)
    }

    /// The same, with connections that look as if they had been on their way to a port of loopback before they were redirected.
    pub(super) async fn envoy_on_the_way(&self, pod: &str, listener: &str, to: u16) -> (RunningEnvoy, u16) {
        let envoy = start(Static::of(&self.compiled(pod)).listening(listener, 0).redirected_from(to).bootstrap()).await;
        let port = envoy.port_of(listener).await;
        (envoy, port)
    }
}

/// The documents of a text.
fn objects(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn typed<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}
