//! Clusters that change at random: objects of every kind that the mesh reads, each valid.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use ferromesh_crds::catalog::{self, Kind};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use super::objects::{Choices, laws::is_configuration, mended, object};
use crate::config::{ParseContext, parse_object};
use crate::index::StillCluster;
use crate::model::{AccessLogEncoding, ConfigObject, MeshConfig, ObjectRef, OutboundTrafficMode, Snapshot};

/// Kinds of which there are more than of others, because more hangs on them.
const FREQUENT: [&str; 6] = ["VirtualService", "DestinationRule", "ServiceEntry", "Sidecar", "Gateway", "PeerAuthentication"];
const NAMESPACES: [&str; 3] = ["shop", "data", "istio-system"];
const NAMES: [&str; 4] = ["reviews", "default", "edge", "a"];
/// Services of the sample, by namespace.
const SERVICES: [(&str, &str); 5] =
    [("shop", "reviews"), ("shop", "details"), ("data", "db"), ("data", "queue"), ("istio-system", "istio-ingressgateway")];

static KINDS: LazyLock<Vec<&'static Kind>> = LazyLock::new(|| {
    let all = catalog::kinds().iter().filter(|kind| is_configuration(kind));
    all.flat_map(|kind| vec![kind; if FREQUENT.contains(&kind.name) { 5 } else { 1 }]).collect()
});

/// Kubernetes' own objects by kind and name, and the mesh's.
#[derive(Clone, Debug)]
pub(crate) struct RandomMesh {
    settings: MeshConfig,
    kubernetes: BTreeMap<(&'static str, String), Value>,
    config: BTreeMap<ObjectRef, ConfigObject>,
}

// === impl RandomMesh ===

impl RandomMesh {
    /// A few services of several kinds, and no configuration.
    pub(crate) fn new() -> Self {
        let mut mesh = Self { settings: MeshConfig::default(), kubernetes: BTreeMap::new(), config: BTreeMap::new() };
        for (place, (namespace, name)) in SERVICES.into_iter().enumerate() {
            mesh.put_service(place, &json!([{"name": if namespace == "shop" { "http" } else { "tcp" }, "port": 9080}]));
            for version in ["v1", "v2"] {
                mesh.put_pod(namespace, &format!("{name}-{version}"), place, version, "node-a");
            }
        }
        mesh
    }

    /// One change, of whatever kind.
    pub(crate) fn change(&mut self, choices: &mut Choices<'_>) {
        let place = choices.below(SERVICES.len());
        let (namespace, name) = SERVICES[place];
        match choices.below(12) {
            0 => match choices.chance(80) {
                true => _ = self.kubernetes.remove(&("Service", format!("{namespace}/{name}"))),
                false => {
                    let number = choices.pick(&[9080, 80, 443]);
                    let protocol = choices.pick(&["http", "tcp", "grpc", "main", "tls", "mysql"]);
                    let target = choices.pick(&[json!(null), json!(8080), json!("web")].each_ref()).clone();
                    self.put_service(place, &json!([{"name": protocol, "port": number, "targetPort": target}]));
                }
            },
            1 => {
                let version = choices.pick(&["v1", "v2", "v3"]);
                let pod = format!("{name}-{version}");
                let gone = choices.chance(90) && self.kubernetes.remove(&("Pod", format!("{namespace}/{pod}"))).is_some();
                if gone {
                    self.kubernetes.remove(&("EndpointSlice", format!("{namespace}/{pod}")));
                } else {
                    self.put_pod(namespace, &pod, place, version, choices.pick(&["node-a", "node-b"]));
                }
            }
            2 => match choices.below(3) {
                0 => self.settings.enable_auto_mtls ^= true,
                1 => {
                    let modes = [OutboundTrafficMode::AllowAny, OutboundTrafficMode::RegistryOnly];
                    self.settings.outbound_traffic_policy.mode = choices.pick(&modes);
                }
                _ => {
                    self.settings.access_log_file = choices.pick(&["", "/dev/null"]).to_owned();
                    self.settings.access_log_encoding = choices.pick(&[AccessLogEncoding::Text, AccessLogEncoding::Json]);
                }
            },
            _ => self.change_config(choices),
        }
    }

    /// Leaves out what users write in Envoy's own terms, or in code: whether Envoy takes that is not the compiler's doing.
    pub(crate) fn without_users_own_code(&mut self) {
        self.config.retain(|origin, _| !["EnvoyFilter", "TrafficExtension", "WasmPlugin"].contains(&origin.kind));
    }

    fn change_config(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.pick(&KINDS);
        let (namespace, name) = (choices.pick(&NAMESPACES), choices.pick(&NAMES));
        let origin = ObjectRef::new(kind.name, namespace, name);
        if choices.chance(70) && self.config.remove(&origin).is_some() {
            return;
        }
        let mut made = mended(kind, object(kind, choices), choices);
        let created = choices.pick(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
        made["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": created});
        // What can't be mended is refused at admission.
        if let Ok(parsed) = parse_object(kind.group, kind.name, &made, &ParseContext::default()) {
            self.config.insert(origin, parsed.value);
        }
    }

    /// A Service that selects by the label `app`; that of the queue has no address.
    fn put_service(&mut self, place: usize, ports: &Value) {
        let (namespace, name) = SERVICES[place];
        let address = if name == "queue" { "None".to_owned() } else { format!("10.96.0.{}", place + 1) };
        let spec = json!({"clusterIP": address, "selector": {"app": name}, "ports": ports});
        let service = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
        self.kubernetes.insert(("Service", format!("{namespace}/{name}")), service);
    }

    /// A ready pod, and that it is an endpoint of its service. The gateway's pods can be selected as `app: v1`, which objects name, too.
    fn put_pod(&mut self, namespace: &str, name: &str, place: usize, version: &str, node: &str) {
        let address = format!("10.244.{place}.{}", &version[1..]);
        let labels = match namespace {
            "istio-system" => json!({"app": "v1", "istio": "ingressgateway"}),
            _ => json!({"app": SERVICES[place].1, "version": version, "security.istio.io/tlsMode": "istio"}),
        };
        let containers = json!([{"name": "app", "image": "app", "ports": [{"name": "web", "containerPort": 8080}]}]);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod = json!({
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"nodeName": node, "serviceAccountName": SERVICES[place].1, "containers": containers},
            "status": {"phase": "Running", "podIP": address, "conditions": ready},
        });
        let slice = json!({
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": SERVICES[place].1}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "tcp", "port": 8080}, {"name": "main", "port": 8080}],
            "endpoints": [{
                "addresses": [address], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": name, "namespace": namespace},
            }],
        });
        self.kubernetes.insert(("Pod", format!("{namespace}/{name}")), pod);
        self.kubernetes.insert(("EndpointSlice", format!("{namespace}/{name}")), slice);
    }

    /// What all of them make together.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut cluster = StillCluster::new(self.settings.clone());
        for ((kind, _), object) in &self.kubernetes {
            match *kind {
                "Service" => cluster.add_service(&typed::<Service>(object), "cluster.local"),
                "EndpointSlice" => cluster.add_slice(&typed::<EndpointSlice>(object)),
                _ => cluster.add_pod(&typed(object)),
            }
        }
        self.config.values().cloned().for_each(|object| cluster.add_config(object));
        cluster.snapshot()
    }
}

fn typed<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}
