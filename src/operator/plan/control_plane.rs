//! The frame of the control plane's parts: pods that run `ferromeshd ROLE`, their Service, their mounted configuration.

use serde_json::{Map, Value, json};

use super::{
    object::{Base, Planned},
    workload::Workload,
};
use crate::operator::{
    object::Kind,
    settings::{Part, Revision, Role},
};

/// Where every role answers probes and is scraped; the nodes' part at the node's address.
pub(in crate::operator) const MONITORING: u16 = 15014;

/// What sets one role apart from the others.
pub(super) struct Parts<'a> {
    pub(super) role: Role,
    /// The container's name, which people's tools know.
    pub(super) container: &'static str,
    /// The values of the labels `app` and `istio`.
    pub(super) labels: (&'static str, &'static str),
    /// What it is told beside its role.
    pub(super) args: Vec<String>,
    /// The ports that it serves.
    pub(super) ports: Vec<Port>,
    pub(super) env: Vec<Value>,
    pub(super) mounts: Vec<Mount>,
    /// Settings that the process reads only when it starts, by the annotation that replaces its pods when they change.
    pub(super) read_at_start: Vec<(&'static str, &'a str)>,
    /// Annotations of the Deployment itself, which replace no pod.
    pub(super) described: Vec<(&'static str, &'a str)>,
}

/// A port that is served.
#[derive(Clone, Copy)]
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) pod: u16,
    pub(super) service: u16,
}

/// Something that is mounted, always read-only.
pub(super) struct Mount {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) source: Source,
}

/// Where it comes from.
pub(super) enum Source {
    ConfigMap(String),
    Secret(String),
    /// A token of the pod's ServiceAccount for citadel.
    CitadelToken,
}

// === impl Parts ===

impl Parts<'_> {
    /// All objects of the role: Service first, so that its name resolves when the pods start.
    pub(super) fn plan(&self, base: Base<'_>, part: &Part) -> Vec<Planned> {
        let name = &base.settings.revision.part(self.role);
        let mut objects = vec![self.service(base, name)];
        let mut annotations = scraped(MONITORING, "/metrics");
        annotations.extend(self.read_at_start.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
        let (app, istio) = self.labels;
        let workload = Workload {
            base,
            name,
            component: self.role.name(),
            part,
            labels: Map::from_iter([("app".to_owned(), json!(app)), ("istio".to_owned(), json!(istio))]),
            annotations,
            described: self.described.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            container: self.container(base),
            volumes: self.mounts.iter().map(Mount::volume).collect(),
            uses_api: true,
        };
        objects.extend(workload.plan());
        objects
    }

    /// A Service with the role's ports; pilot has one under a second name.
    pub(super) fn service(&self, base: Base<'_>, name: &str) -> Planned {
        let ports = self
            .all_ports()
            .map(|Port { name, pod, service }| json!({"name": name, "port": service, "targetPort": pod, "protocol": "TCP"}));
        let spec = json!({"selector": Base::selector(&base.settings.revision.part(self.role)), "ports": ports.collect::<Vec<_>>()});
        base.object(Kind::Service, name, self.role.name(), json!({"spec": spec}))
    }

    fn all_ports(&self) -> impl Iterator<Item = Port> {
        let monitoring = Port { name: "http-monitoring", pod: MONITORING, service: MONITORING };
        self.ports.iter().copied().chain([monitoring])
    }

    fn container(&self, base: Base<'_>) -> Value {
        let ports = self.all_ports().map(|Port { name, pod, .. }| json!({"name": name, "containerPort": pod, "protocol": "TCP"}));
        let args: Vec<&str> = [self.role.name()].into_iter().chain(self.args.iter().map(String::as_str)).collect();
        let images = &base.settings.images;
        let mut env = vec![field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")];
        env.extend(self.env.iter().cloned());
        let probe = |path: &str| json!({"path": path, "port": MONITORING});
        json!({
            "name": self.container,
            "image": format!("{}/ferromesh:{}", images.hub, images.tag),
            "command": ["/usr/local/bin/ferromeshd"],
            "args": args,
            "env": env,
            "ports": ports.collect::<Vec<_>>(),
            "readinessProbe": {"httpGet": probe("/ready"), "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 5},
            "livenessProbe": {"httpGet": probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
            "volumeMounts": self.mounts.iter().map(Mount::mount).collect::<Vec<_>>(),
        })
    }
}

// === impl Mount ===

impl Mount {
    /// The mesh's configuration, as the control plane at `place` has it.
    pub(super) fn mesh_config(place: &Revision) -> Self {
        let map = place.object(super::config::MESH);
        Mount { name: "mesh-config", path: "/etc/istio/config", source: Source::ConfigMap(map) }
    }

    /// What it takes to get a certificate from citadel: a token, and the mesh's roots.
    pub(super) fn identity() -> [Self; 2] {
        [
            Mount { name: "istio-token", path: "/var/run/secrets/tokens", source: Source::CitadelToken },
            // The pod waits for it: citadel writes it before anybody has any use for a root.
            Mount { name: "istiod-ca-cert", path: "/var/run/secrets/istio", source: Source::ConfigMap("istio-ca-root-cert".to_owned()) },
        ]
    }

    /// A webhook's serving certificate.
    pub(super) fn serving_certificate(secret: String) -> Self {
        Mount { name: "webhook-certs", path: "/etc/ferromesh/webhook-certs", source: Source::Secret(secret) }
    }

    fn mount(&self) -> Value {
        json!({"name": self.name, "mountPath": self.path, "readOnly": true})
    }

    pub(super) fn volume(&self) -> Value {
        match &self.source {
            Source::ConfigMap(name) => json!({"name": self.name, "configMap": {"name": name}}),
            Source::Secret(name) => json!({"name": self.name, "secret": {"secretName": name}}),
            Source::CitadelToken => {
                let token = json!({"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}});
                json!({"name": self.name, "projected": {"sources": [token]}})
            }
        }
    }
}

/// An environment variable that holds a field of the pod.
fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

/// The annotations by which Prometheus finds a pod.
pub(super) fn scraped(port: u16, path: &str) -> Map<String, Value> {
    let entries = [("scrape", "true".to_owned()), ("port", port.to_string()), ("path", path.to_owned())];
    entries.into_iter().map(|(key, value)| (format!("prometheus.io/{key}"), json!(value))).collect()
}
