//! The injector: adds the proxy to pods, and the webhook that asks it.

use serde_json::{Value, json};

use super::{
    config,
    control_plane::{Mount, Parts, Port, Source},
    object::{Base, DEFAULT_REVISION, Planned},
    webhook::{client, expressions},
};
use crate::operator::{
    object::Kind,
    settings::{Part, Role},
};

/// The Secret with its serving certificate.
pub(in crate::operator) const CERTIFICATE: &str = "istio-sidecar-injector-webhook-certs";
/// The webhook configuration.
pub(in crate::operator) const CONFIGURATION: &str = "istio-sidecar-injector";
/// The end of the name of each webhook in it.
const WEBHOOK: &str = "sidecar-injector.istio.io";
/// Namespaces whose pods must start whatever becomes of the mesh.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

const INJECTION: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const POD: &str = "sidecar.istio.io/inject";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let parts = Parts {
        role: Role::Injector,
        container: "sidecar-injector-webhook",
        labels: ("sidecarInjectorWebhook", "sidecar-injector"),
        args: Vec::new(),
        ports: vec![Port { name: "https-inject", pod: 9443, service: 443 }],
        env: Vec::new(),
        mounts: vec![
            Mount::mesh_config(),
            Mount { name: "inject-config", path: "/etc/istio/inject", source: Source::ConfigMap(config::INJECTION) },
            Mount::serving_certificate(CERTIFICATE),
        ],
        read_at_start: Vec::new(),
    };
    parts.plan(base, part)
}

/// The reference's four selections for the revision without a name: by the namespace's label or by the pod's, for either kind of label.
/// A namespace that says nothing is asked about only where a pod asks for the sidecar itself.
pub(super) fn webhooks(base: Base<'_>, bundle: &str) -> Planned {
    let is = |key: &str, values: &[&str]| json!({"key": key, "operator": "In", "values": values});
    let not = |key: &str, values: &[&str]| json!({"key": key, "operator": "NotIn", "values": values});
    let absent = |key: &str| json!({"key": key, "operator": "DoesNotExist"});
    let entries = [
        ("rev.namespace", vec![is(REVISION, &[DEFAULT_REVISION]), absent(INJECTION)], vec![not(POD, &["false"])]),
        ("rev.object", vec![absent(REVISION), absent(INJECTION)], vec![not(POD, &["false"]), is(REVISION, &[DEFAULT_REVISION])]),
        ("namespace", vec![is(INJECTION, &["enabled"])], vec![not(POD, &["false"])]),
        ("object", vec![absent(INJECTION), absent(REVISION)], vec![is(POD, &["true"]), absent(REVISION)]),
    ];
    let webhooks: Vec<Value> = entries
        .into_iter()
        .map(|(name, mut namespaces, pods)| {
            let excluded: Vec<&str> = SYSTEM.into_iter().chain([base.namespace()]).collect();
            namespaces.push(not("kubernetes.io/metadata.name", &excluded));
            json!({
                "name": format!("{name}.{WEBHOOK}"),
                "clientConfig": client(base, Role::Injector, "/inject", bundle),
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "Namespaced"}],
                "namespaceSelector": expressions(&json!(namespaces)),
                "objectSelector": expressions(&json!(pods)),
                "matchPolicy": "Equivalent",
                // A pod without the sidecar that its namespace asks for would speak plain text.
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1"],
            })
        })
        .collect();
    base.object(Kind::MutatingWebhookConfiguration, CONFIGURATION, Role::Injector.name(), json!({"webhooks": webhooks}))
}
