//! The nodes' part: one pod on each node, which lets itself into the node's network configuration and redirects pods' traffic.

use serde_json::{Map, Value, json};

use super::{
    access,
    control_plane::{MONITORING, scraped},
    object::{Base, Planned},
};
use crate::model::PodRepair;
use crate::operator::{
    object::{Key, Kind},
    settings::{NODES, Part, Role},
};

/// Where the plugin finds it: a folder on the node, by the same name in the pod.
const SOCKET_FOLDER: &str = "/var/run/istio-cni";
/// The node's folders as the pod sees them.
const BIN: &str = "/host/cni/bin";
const CONF: &str = "/host/cni/conf";

/// What must be there before its pods: the namespace, which lets them in, and the operator's own rights there.
pub(super) fn preparation(base: Base<'_>, operator_namespace: &str) -> [Planned; 2] {
    let component = Role::Cni.name();
    // Said for all three, so that nobody is warned of what is meant to be.
    let levels = ["enforce", "audit", "warn"].map(|mode| (format!("pod-security.kubernetes.io/{mode}"), json!("privileged")));
    let labels = Map::from_iter(levels);
    let namespace = base.placed(Key::new(Kind::Namespace, "", NODES), component, json!({"metadata": {"labels": labels}}));
    [namespace, access::own_within(base, NODES, component, operator_namespace)]
}

pub(super) fn plan(base: Base<'_>, part: &Part) -> [Planned; 2] {
    let (name, component) = (Role::Cni.object(), Role::Cni.name());
    let pull_secrets = &base.settings.pull_secrets;
    let mut account = json!({"automountServiceAccountToken": true});
    if !pull_secrets.is_empty() {
        account["imagePullSecrets"] = pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    let mut labels = base.labels(name, component);
    labels.insert("sidecar.istio.io/inject".to_owned(), json!("false"));
    labels.insert("k8s-app".to_owned(), json!(name));
    let mut annotations = scraped(MONITORING, "/metrics");
    // It enters the network namespaces of other pods.
    annotations.insert("container.apparmor.security.beta.kubernetes.io/install-cni".to_owned(), json!("unconfined"));
    annotations.extend(part.pod_annotations.iter().map(|(key, value)| (key.clone(), json!(value))));
    let spec = json!({
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": Base::selector(name)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod(base, part)},
    });
    let object = |kind, fields| base.placed(Key::new(kind, NODES, name), component, fields);
    [object(Kind::ServiceAccount, account), object(Kind::DaemonSet, json!({"spec": spec}))]
}

fn pod(base: Base<'_>, part: &Part) -> Value {
    let host = |name: &str, path: &str, kind: &str| json!({"name": name, "hostPath": {"path": path, "type": kind}});
    let (cni, told) = (&base.settings.cni, &part.placement.tolerations);
    let mut pod = json!({
        "serviceAccountName": Role::Cni.object(),
        // Its own network must not wait for itself.
        "hostNetwork": true,
        "priorityClassName": part.placement.priority_class.as_deref().unwrap_or("system-node-critical"),
        "terminationGracePeriodSeconds": 10,
        // Unless told otherwise, pods of any node get their rules, whatever it is reserved for.
        "tolerations": if told.is_empty() { json!([{"operator": "Exists"}]) } else { json!(told) },
        "containers": [container(base, part)],
        "volumes": [
            host("cni-bin-dir", &cni.bin_dir, "DirectoryOrCreate"),
            host("cni-net-dir", &cni.conf_dir, "DirectoryOrCreate"),
            host("cni-socket-dir", SOCKET_FOLDER, "DirectoryOrCreate"),
        ],
    });
    if repairs_in_place(base) {
        pod["hostPID"] = json!(true);
    }
    if !base.settings.pull_secrets.is_empty() {
        pod["imagePullSecrets"] = base.settings.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    if !part.placement.node_selector.is_empty() {
        pod["nodeSelector"] = json!(part.placement.node_selector);
    }
    if let Some(affinity) = &part.placement.affinity {
        pod["affinity"] = json!(affinity);
    }
    pod
}

/// Whether pods that were missed get their rules where they are: their namespaces are then found by the node's processes. The namespace of a
/// pod that starts comes from the runtime's plugin.
fn repairs_in_place(base: Base<'_>) -> bool {
    base.settings.cni.repair == PodRepair::Fix
}

fn container(base: Base<'_>, part: &Part) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let probe = |path: &str| json!({"path": path, "port": MONITORING});
    let images = &base.settings.images;
    let mut env = vec![field("NODE_NAME", "spec.nodeName"), field("POD_NAMESPACE", "metadata.namespace")];
    for variable in &part.env {
        env.retain(|own| own["name"] != variable.name.as_str());
        env.push(json!(variable));
    }
    // No more than it takes to enter a namespace (SYS_ADMIN), to write rules there (NET_ADMIN), and files of the node (DAC_OVERRIDE).
    let mut capabilities = vec!["DAC_OVERRIDE", "NET_ADMIN", "SYS_ADMIN"];
    // Of other users' processes.
    capabilities.extend(repairs_in_place(base).then_some("SYS_PTRACE"));
    json!({
        "name": "install-cni",
        "image": format!("{}/ferromesh:{}", images.hub, images.tag),
        "imagePullPolicy": images.pull_policy,
        "command": ["/usr/local/bin/ferromeshd"],
        "args": ["cni", "--bin-dir", BIN, "--conf-dir", CONF, "--socket", format!("{SOCKET_FOLDER}/cni.sock"),
            "--repair", base.settings.cni.repair.to_string()],
        "env": env,
        "ports": [{"name": "http-monitoring", "containerPort": MONITORING, "protocol": "TCP"}],
        "resources": part.resources,
        "readinessProbe": {"httpGet": probe("/ready"), "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 5},
        "livenessProbe": {"httpGet": probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": capabilities},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            mount("cni-bin-dir", BIN),
            mount("cni-net-dir", CONF),
            mount("cni-socket-dir", SOCKET_FOLDER),
        ],
    })
}
