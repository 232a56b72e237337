//! What the built-in templates make their containers and volumes of.

use serde_json::{Value, json};

use super::{
    annotations::SidecarOptions,
    inject::Template,
    pod::{PodView, array_mut, object_mut},
    workload::WorkloadName,
};
use crate::model::{InterceptionMode, ProxyEnvironment};

/// The container that writes the redirect rules and ends.
pub(super) const INIT: &str = "istio-init";
/// The container that looks whether the node has written them.
pub(super) const VALIDATION: &str = "istio-validation";
/// The container of agent and Envoy.
pub(super) const PROXY: &str = "istio-proxy";
/// The user whose traffic is never captured.
const PROXY_UID: u32 = 1337;
/// Where the proxy finds what its pod lays over Envoy's bootstrap, and the key of the ConfigMap that holds it.
const OVERRIDE_FOLDER: &str = "/etc/istio/custom-bootstrap";
const OVERRIDE_KEY: &str = "custom_bootstrap.json";
const OVERRIDE_VOLUME: &str = "custom-bootstrap-volume";
/// Ports of the sidecar itself, which are never captured: Envoy's metrics and health.
const OWN_PORTS: &str = "15090,15021";

/// What the reference's documents limit captured processes by, in the proxy's metadata.
const OUTBOUND_GROUPS: &str = "ISTIO_OUTBOUND_OWNER_GROUPS";
const EXCLUDED_OUTBOUND_GROUPS: &str = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE";

/// Gives the proxy's container what transparent interception needs: it takes connections to others, and makes them from others. The
/// capability reaches a program of root alone; the group is what the redirect rules then know the proxy by.
pub(super) fn run_transparently(proxy: &mut Value) {
    let security = object_mut(proxy, "securityContext");
    security.insert("runAsUser".to_owned(), 0.into());
    security.insert("runAsGroup".to_owned(), PROXY_UID.into());
    security.insert("runAsNonRoot".to_owned(), false.into());
    let mut capabilities = security.get("capabilities").cloned().unwrap_or_else(|| json!({}));
    let add = array_mut(&mut capabilities, "add");
    if !add.iter().any(|capability| capability == "NET_ADMIN") {
        add.push("NET_ADMIN".into());
    }
    security.insert("capabilities".to_owned(), capabilities);
}

/// What templates read.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) template: &'a Template,
    pub(super) options: &'a SidecarOptions,
    /// The pod as its author wrote it.
    pub(super) pod: PodView<'a>,
    pub(super) namespace: &'a str,
    pub(super) workload: &'a WorkloadName,
    /// Whether a sidecar is a native sidecar container.
    pub(super) native: bool,
    /// This cluster's name.
    pub(super) cluster: &'a str,
    /// The name of the pod's network; empty if all pods of the mesh reach each other.
    pub(super) network: &'a str,
}

// === impl Context ===

impl<'a> Context<'a> {
    /// `istio-init`, or `istio-validation` where the node does its work; `None` where nothing is captured. The traffic of the user that the
    /// pod's own `istio-proxy` runs as is spared.
    pub(super) fn init(&self) -> Option<Value> {
        if self.options.interception == InterceptionMode::None {
            return None;
        }
        let mut arguments = self.capture();
        let mut security = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        let on_node = self.template.values.cni;
        if on_node {
            // The node has redirected the pod's traffic. This looks whether it has.
            arguments.push("--validate".to_owned());
            security["capabilities"] = json!({"drop": ["ALL"]});
            security["runAsGroup"] = PROXY_UID.into();
            security["runAsNonRoot"] = true.into();
            security["runAsUser"] = PROXY_UID.into();
        }
        Some(json!({
            "name": if on_node { VALIDATION } else { INIT },
            "image": self.image(),
            "imagePullPolicy": self.pull_policy(),
            "args": arguments,
            "resources": self.resources(),
            "securityContext": security,
        }))
    }

    /// What `istio-init` is told: which traffic is captured, and how.
    fn capture(&self) -> Vec<String> {
        let options = self.options;
        let excluded = match options.exclude_inbound_ports.as_str() {
            "" => format!("{OWN_PORTS},{}", options.proxy_config.status_port),
            more => format!("{OWN_PORTS},{},{more}", options.proxy_config.status_port),
        };
        let own = self.pod.container(PROXY).and_then(|own| own["securityContext"]["runAsUser"].as_u64());
        let uid = own.filter(|uid| *uid != 0).unwrap_or(PROXY_UID.into());
        let uid = uid.to_string();
        let always = [
            ("--outbound-port", "15001"),
            ("--inbound-port", "15006"),
            ("--uid", uid.as_str()),
            ("--inbound-ports", &options.include_inbound_ports),
            ("--exclude-inbound-ports", &excluded),
            ("--outbound-cidrs", &options.include_outbound_ranges),
            ("--exclude-outbound-cidrs", &options.exclude_outbound_ranges),
            ("--include-outbound-ports", &options.include_outbound_ports),
            ("--exclude-outbound-ports", &options.exclude_outbound_ports),
        ];
        let mut arguments = vec!["init".to_owned()];
        arguments.extend(always.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]));
        let transparent = options.interception == InterceptionMode::Tproxy;
        // The proxy runs as root then, and is known by its group.
        let gid = PROXY_UID.to_string();
        let metadata = |name: &str| options.proxy_config.proxy_metadata.get(name).map(String::as_str);
        // A flag that says nothing is left out: an agent of an earlier version may not know it.
        let further = [
            ("--mode", transparent.then_some(options.interception.as_str())),
            ("--gid", (transparent && uid != gid).then_some(gid.as_str())),
            ("--outbound-groups", metadata(OUTBOUND_GROUPS)),
            ("--exclude-outbound-groups", metadata(EXCLUDED_OUTBOUND_GROUPS)),
            ("--exclude-interfaces", Some(options.exclude_interfaces.as_str()).filter(|names| !names.is_empty())),
            ("--virtual-interfaces", Some(options.virtual_interfaces.as_str()).filter(|names| !names.is_empty())),
        ];
        arguments.extend(further.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?.to_owned()])).flatten());
        arguments.extend(options.proxy_config.captures_dns().then(|| "--dns-capture".to_owned()));
        arguments
    }

    /// `istio-proxy` in the role of `sidecar` or `router`, whose traffic comes to it by `interception`.
    pub(super) fn proxy(&self, role: &str, interception: InterceptionMode) -> Value {
        let options = self.options;
        let mut proxy = json!({
            "name": PROXY,
            "image": self.image(),
            "imagePullPolicy": self.pull_policy(),
            "args": self.arguments(role),
            "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsGroup": PROXY_UID,
                "runAsNonRoot": true,
                "runAsUser": PROXY_UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumeMounts": [
                {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
                {"name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": true},
                {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio", "readOnly": true},
                {"name": "istio-podinfo", "mountPath": "/etc/istio/pod", "readOnly": true},
            ],
        });
        // What is large moves into its place: the macro would copy it.
        proxy["env"] = Value::Array(self.env(interception));
        proxy["resources"] = self.resources();
        if options.bootstrap_override.is_some() {
            array_mut(&mut proxy, "volumeMounts").push(json!({"name": OVERRIDE_VOLUME, "mountPath": OVERRIDE_FOLDER, "readOnly": true}));
        }
        if options.bind_low_ports {
            // The capability reaches a program of root alone; the group is what the redirect rules then know the proxy by.
            let security = &mut proxy["securityContext"];
            security["capabilities"]["add"] = json!(["NET_BIND_SERVICE"]);
            security["runAsUser"] = 0.into();
            security["runAsNonRoot"] = false.into();
        }
        if interception == InterceptionMode::Tproxy {
            run_transparently(&mut proxy);
        }
        if options.health {
            let health = json!({"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"});
            // Ready within a second of being so; the readiness probe then only watches.
            proxy["startupProbe"] = json!({"httpGet": health, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600});
            proxy["readinessProbe"] = json!({
                "httpGet": health,
                "initialDelaySeconds": options.readiness_initial_delay,
                "periodSeconds": options.readiness_period,
                "timeoutSeconds": 3,
                "failureThreshold": options.readiness_failures,
            });
        }
        proxy
    }

    /// `istio-proxy` beside an application, whose traffic comes to it by `interception`.
    pub(super) fn sidecar(&self, interception: InterceptionMode) -> Value {
        let options = self.options;
        let mut proxy = self.proxy("sidecar", interception);
        array_mut(&mut proxy, "volumeMounts").extend(options.user_mounts.iter().cloned());
        if self.native {
            proxy["restartPolicy"] = "Always".into();
        } else if options.proxy_config.hold_application_until_proxy_starts {
            proxy["lifecycle"] = json!({"postStart": {"exec": {"command": ["/usr/local/bin/ferromesh-agent", "wait"]}}});
        }
        proxy
    }

    /// The volumes that `istio-proxy` mounts.
    pub(super) fn volumes(&self) -> Vec<Value> {
        let token = json!({"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}});
        let labels = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
        let annotations = json!({"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}});
        let mut volumes = vec![
            json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
            json!({"name": "istio-token", "projected": {"sources": [token]}}),
            json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}),
            json!({"name": "istio-podinfo", "downwardAPI": {"items": [labels, annotations]}}),
        ];
        if let Some(name) = &self.options.bootstrap_override {
            volumes.push(json!({"name": OVERRIDE_VOLUME, "configMap": {"name": name}}));
        }
        volumes
    }

    /// Pull Secrets of the mesh.
    pub(super) fn pull_secrets(&self) -> Vec<Value> {
        self.template.values.image_pull_secrets.iter().map(|name| json!({"name": name})).collect()
    }

    /// The application's containers: all but a container of our name, which is the pod's word on ours.
    pub(super) fn applications(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.pod.containers().iter().filter(|container| container["name"] != PROXY)
    }

    fn arguments(&self, role: &str) -> Vec<String> {
        let options = self.options;
        let mut arguments = vec!["proxy".to_owned(), role.to_owned()];
        // A flag that says nothing is left out: an agent of an earlier version may not know it.
        for (flag, text) in [
            ("--log-level", options.log_level.as_str()),
            ("--component-log-level", options.component_log_level.as_str()),
            ("--log", options.agent_log_level.as_deref().unwrap_or_default()),
        ] {
            if !text.is_empty() {
                arguments.extend([flag.to_owned(), text.to_owned()]);
            }
        }
        arguments
    }

    fn env(&self, interception: InterceptionMode) -> Vec<Value> {
        let template = self.template;
        let common = ProxyEnvironment {
            ca_address: &template.values.ca_address,
            trust_domain: &template.mesh.trust_domain,
            config: &self.options.proxy_config,
            cluster: self.cluster,
            workload: &self.workload.name,
            owner: &self.workload.owner,
            interception: interception.as_str(),
        };
        let mut more = vec![("ISTIO_META_APP_CONTAINERS", self.app_containers()), ("ISTIO_META_POD_PORTS", self.pod_ports())];
        if !self.network.is_empty() {
            more.push(("ISTIO_META_NETWORK", self.network.to_owned()));
        }
        if self.options.bootstrap_override.is_some() {
            more.push(("ISTIO_BOOTSTRAP_OVERRIDE", format!("{OVERRIDE_FOLDER}/{OVERRIDE_KEY}")));
        }
        common.variables(more)
    }

    fn app_containers(&self) -> String {
        let names: Vec<&str> = self.applications().filter_map(|container| container["name"].as_str()).collect();
        names.join(",")
    }

    fn pod_ports(&self) -> String {
        let ports: Vec<&Value> = self.applications().filter_map(|container| container["ports"].as_array()).flatten().collect();
        serde_json::to_string(&ports).unwrap_or_default()
    }

    fn image(&self) -> String {
        let values = &self.template.values;
        let usual = || format!("{}/ferromesh-proxy:{}{}", values.hub, values.tag, self.variant());
        self.options.image.clone().unwrap_or_else(usual)
    }

    /// What the tag of the image ends in. The mesh's own image is what others call distroless.
    fn variant(&self) -> String {
        let of_config = self.options.proxy_config.image.as_ref().map(|image| image.image_type.as_str());
        match self.options.image_type.as_deref().or(of_config) {
            None | Some("" | "default" | "distroless") => String::new(),
            Some(variant) => format!("-{variant}"),
        }
    }

    fn pull_policy(&self) -> &str {
        match self.template.values.image_pull_policy.as_str() {
            "" => "IfNotPresent",
            policy => policy,
        }
    }

    fn resources(&self) -> Value {
        match &self.options.resources {
            Some(asked) => json!(asked),
            None => json!(self.template.values.proxy.resources),
        }
    }
}
