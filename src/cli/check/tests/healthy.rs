//! A cluster with a mesh in which nothing is wrong.

use ferromesh_crds::catalog;
use rcgen::KeyPair;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cli::{
    check::facts::Facts,
    install::{chart_roles, chart_webhook},
    proxy::Standing,
};
use crate::testing::TestCa;

pub(super) fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// A certificate and its authority, in PEM, as base64 for Secrets and webhooks.
pub(super) struct Certificates {
    pub(super) root: String,
    leaf: String,
    pub(super) other: String,
}

pub(super) fn certificates() -> Certificates {
    let (authority, other) = (TestCa::new("webhooks"), TestCa::new("others"));
    let leaf = authority.sign(&KeyPair::generate().unwrap(), &[], &["istio-galley.istio-system.svc"]);
    Certificates { root: authority.pem(), leaf: leaf.pem(), other: other.pem() }
}

pub(super) fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

pub(super) fn webhook(service: &str, namespace: &str, bundle: &str) -> Value {
    json!({"name": "a.istio.io", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": service, "namespace": namespace}, "caBundle": base64(bundle)},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]})
}

pub(super) fn slice(namespace: &str, service: &str) -> Value {
    json!({"metadata": {"name": service, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]})
}

pub(super) fn deployment(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"availableReplicas": 2}})
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "memory": "4Gi"},
        "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.1.0-13-amd64", "kubeletVersion": "v1.34.4",
            "bootID": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": ""}}})
}

/// A pod of a workload with its sidecar.
pub(super) fn meshed_pod() -> Value {
    json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"sidecar.istio.io/status": "{}"}},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}], "initContainers": [
            {"name": "istio-init", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, {"name": "istio-proxy"}]},
        "status": {"phase": "Running", "initContainerStatuses": [status("istio-proxy")], "containerStatuses": [status("app")]}})
}

pub(super) fn status(container: &str) -> Value {
    json!({"name": container, "ready": true, "image": "hub/x:1", "imageID": "", "restartCount": 0})
}

pub(super) fn mesh_pod() -> Value {
    json!({"metadata": {"name": "istio-pilot-1", "namespace": "istio-system", "labels": {"app.kubernetes.io/name": "istio-pilot"}},
        "spec": {"containers": [{"name": "pilot", "image": "hub/ferromesh:1"}]},
        "status": {"phase": "Running", "containerStatuses": [status("pilot")]}})
}

fn crd(kind: &catalog::Kind) -> Value {
    let mut crd = serde_json::to_value(kind.crd()).unwrap();
    crd["status"] = json!({"acceptedNames": {"kind": kind.name, "plural": kind.plural}, "storedVersions": [kind.versions[0]],
        "conditions": [{"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    crd
}

/// The MeshInstall of a revision beside the default one.
fn canary() -> Value {
    let mut mesh = mesh(env!("CARGO_PKG_VERSION"));
    mesh["metadata"]["name"] = json!("mesh-canary");
    mesh["spec"]["revision"] = json!("canary");
    mesh
}

pub(super) fn mesh(version: &str) -> Value {
    json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh", "generation": 2},
        "spec": {"profile": "default"}, "status": {"observedGeneration": 2, "state": "HEALTHY", "version": version,
            "proxies": {"total": 1, "missed": 0, "outdated": 0},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

pub(super) fn all<T: DeserializeOwned>(values: impl IntoIterator<Item = Value>) -> Result<Vec<T>, String> {
    Ok(values.into_iter().map(of).collect())
}

/// A cluster in which nothing is wrong, with a mesh, a revision `canary` of it, and a tag `prod` for that.
pub(super) fn healthy(certificates: &Certificates) -> Facts {
    let Certificates { root, leaf, .. } = certificates;
    let configuration = |name: &str, service: &str, namespace: &str| json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "ferromesh-operator"}}, "webhooks": [webhook(service, namespace, root)]});
    let namespaces = ["shop", "istio-system", "kube-system", "ferromesh-system"];
    let labels = |name: &str| if name == "shop" { json!({"istio-injection": "enabled"}) } else { json!({}) };
    let secret =
        |namespace: &str, name: &str| json!({"metadata": {"name": name, "namespace": namespace}, "data": {"tls.crt": base64(leaf)}});
    let mut operators_own = chart_webhook();
    for webhook in operators_own["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = base64(root);
    }
    let mut operator = deployment("ferromesh-system", "ferromesh-operator");
    operator["metadata"]["labels"]["app.kubernetes.io/component"] = json!("operator");
    let lease = json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease",
        "managedFields": [{"time": "2026-01-01T00:00:03Z", "manager": "kubelet", "operation": "Update"}]},
        "spec": {"renewTime": "2026-01-01T00:00:02.000000Z"}});
    Facts {
        now: OffsetDateTime::now_utc().unix_timestamp(),
        only: None,
        mesh_namespace: "istio-system".to_owned(),
        version: Ok((1, 34)),
        rights: Ok([("create namespaces".to_owned(), true)].into()),
        crds: all(catalog::kinds().iter().map(crd)),
        cluster_roles: all(chart_roles().into_iter().map(|name| json!({"metadata": {"name": name}}))),
        nodes: all([node("node-1"), node("node-2")]),
        leases: all([lease]),
        namespaces: all(namespaces.map(|name| json!({"metadata": {"name": name, "labels": labels(name)}}))),
        pods: all([meshed_pod(), mesh_pod()]),
        services: all([
            json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"selector": {"k8s-app": "kube-dns"}}}),
            json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}),
            json!({"metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"}, "spec": {"type": "LoadBalancer", "ports": []},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
        ]),
        endpoints: all([
            slice("kube-system", "kube-dns"),
            slice("istio-system", "istio-galley"),
            slice("istio-system", "istio-sidecar-injector"),
            slice("ferromesh-system", "ferromesh-operator"),
            slice("ferromesh-system", "ferromesh-operator-probe"),
            slice("istio-system", "istio-galley-canary"),
            slice("istio-system", "istio-sidecar-injector-canary"),
        ]),
        deployments: all([
            operator,
            deployment("istio-system", "istio-galley"),
            deployment("istio-system", "istio-sidecar-injector"),
            deployment("istio-system", "istio-sidecar-injector-canary"),
        ]),
        daemon_sets: Ok(Vec::new()),
        budgets: all([json!({"metadata": {"name": "istio-pilot", "namespace": "istio-system"},
            "status": {"expectedPods": 2, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}})]),
        autoscalers: all([json!({"metadata": {"name": "istio-pilot", "namespace": "istio-system"},
            "status": {"desiredReplicas": 2, "conditions": [{"type": "ScalingActive", "status": "True"}]}})]),
        mutating: all([
            configuration("istio-sidecar-injector", "istio-sidecar-injector", "istio-system"),
            configuration("istio-sidecar-injector-canary", "istio-sidecar-injector-canary", "istio-system"),
            configuration("istio-revision-tag-prod", "istio-sidecar-injector-canary", "istio-system"),
        ]),
        validating: all([
            configuration("istio-galley", "istio-galley", "istio-system"),
            operators_own,
            configuration("istio-galley-canary", "istio-galley-canary", "istio-system"),
        ]),
        roots: all(
            namespaces.map(|name| json!({"metadata": {"name": "istio-ca-root-cert", "namespace": name}, "data": {"root-cert.pem": root}}))
        ),
        certificates: all([
            secret("ferromesh-system", "ferromesh-operator-webhook-certs"),
            secret("istio-system", "istio-galley-webhook-certs"),
            secret("istio-system", "istio-sidecar-injector-webhook-certs"),
            secret("istio-system", "istio-galley-webhook-certs-canary"),
            secret("istio-system", "istio-sidecar-injector-webhook-certs-canary"),
        ]),
        meshes: all([mesh(env!("CARGO_PKG_VERSION")), canary()]),
        proxies: Ok(vec![Standing { name: "web-1.shop".to_owned(), version: "1".to_owned(), synced: true, refused: 0 }]),
        outliers: Ok(Vec::new()),
    }
}
