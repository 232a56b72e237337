//! A gateway: a proxy of its own, and the Service that leads to it.

use ferromesh_crds::install::GatewayServicePort;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{
    config::ca_address,
    control_plane::{Mount, Source, scraped},
    object::{Base, Planned},
    service::{self, Service},
    workload::Workload,
};
use crate::model::ProxyEnvironment;
use crate::operator::settings::{FIRST_UNPRIVILEGED, Gateway};

/// The port on which a proxy says whether it is ready.
const HEALTH: u16 = 15021;

pub(super) fn plan(base: Base<'_>, gateway: &Gateway) -> Vec<Planned> {
    let name = &gateway.name;
    let mut labels = Map::from_iter([
        ("app".to_owned(), json!(name)),
        ("service.istio.io/canonical-name".to_owned(), json!(name)),
        ("service.istio.io/canonical-revision".to_owned(), json!("latest")),
    ]);
    labels.extend(gateway.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    let workload = Workload {
        base,
        name,
        component: "gateway",
        part: &gateway.part,
        labels,
        annotations: scraped(15020, "/stats/prometheus"),
        described: BTreeMap::new(),
        container: container(base, gateway),
        volumes: volumes(),
        uses_api: false,
    };
    let mut objects = vec![service(base, gateway)];
    objects.extend(workload.plan());
    objects
}

fn service(base: Base<'_>, gateway: &Gateway) -> Planned {
    let (name, described) = (&gateway.name, &gateway.service);
    let ports = described.ports.iter().map(|port| service::port(port, bindable(port))).collect();
    Service { name, component: "gateway", workload: name, type_: gateway.service_type, described, ports }.plan(base)
}

/// Where a port leads unless it says so. The proxy has no right to bind a privileged port: 80 leads to 8080 and 443 to 8443, as people
/// know them.
fn bindable(port: &GatewayServicePort) -> i32 {
    let number = port.port.unwrap_or_default();
    if number < FIRST_UNPRIVILEGED { number + 8000 } else { number }
}

fn container(base: Base<'_>, gateway: &Gateway) -> Value {
    let images = &base.settings.images;
    let health = json!({"path": "/healthz/ready", "port": HEALTH});
    json!({
        "name": "istio-proxy",
        "image": format!("{}/ferromesh-proxy:{}", images.hub, images.tag),
        "args": ["proxy", "router"],
        "ports": [
            {"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"},
            {"name": "status-port", "containerPort": HEALTH, "protocol": "TCP"},
        ],
        "env": env(base, gateway),
        "readinessProbe": {"httpGet": health, "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 15},
        // Ready within a second of being so; the readiness probe then only watches.
        "startupProbe": {"httpGet": health, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "volumeMounts": [
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": true},
            {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio", "readOnly": true},
            {"name": "istio-podinfo", "mountPath": "/etc/istio/pod", "readOnly": true},
        ],
    })
}

fn env(base: Base<'_>, gateway: &Gateway) -> Vec<Value> {
    let settings = base.settings;
    let environment = ProxyEnvironment {
        ca_address: &ca_address(settings),
        trust_domain: &settings.mesh.trust_domain,
        config: &settings.mesh.default_config,
        cluster: &settings.cluster,
        workload: &gateway.name,
        owner: &format!("kubernetes://apis/apps/v1/namespaces/{}/deployments/{}", settings.namespace, gateway.name),
        interception: "NONE",
    };
    environment.variables([])
}

fn volumes() -> Vec<Value> {
    let mount = |name, source| Mount { name, path: "", source }.volume();
    let labels = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
    let annotations = json!({"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}});
    vec![
        json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
        mount("istio-token", Source::CitadelToken),
        mount("istiod-ca-cert", Source::ConfigMap("istio-ca-root-cert".to_owned())),
        json!({"name": "istio-podinfo", "downwardAPI": {"items": [labels, annotations]}}),
    ]
}
