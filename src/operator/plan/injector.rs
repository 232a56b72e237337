//! The injector: adds the proxy to pods, and the webhook that asks it.

use serde_json::{Value, json};

use super::{
    config,
    control_plane::{Mount, Parts, Port, Source},
    object::{Base, DEFAULT_REVISION, Planned},
    webhook::client,
};
use crate::injector::{SelectionSettings, entries};
use crate::operator::{
    object::Kind,
    settings::{Part, Role},
};

/// The Secret with its serving certificate.
pub(in crate::operator) const CERTIFICATE: &str = "istio-sidecar-injector-webhook-certs";
/// The webhook configuration.
pub(in crate::operator) const CONFIGURATION: &str = "istio-sidecar-injector";
/// The annotation of its pods while nodes redirect traffic: when that changes, pods that have read the new settings take the place of the
/// old ones, so that the Deployment tells when all of them have.
const REDIRECTED: &str = "install.ferromesh.dev/redirected-by";
/// The end of the name of each webhook in it.
const WEBHOOK: &str = "sidecar-injector.istio.io";

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
        read_at_start: base.settings.parts.contains_key(&Role::Cni).then_some((REDIRECTED, "node")).into_iter().collect(),
    };
    parts.plan(base, part)
}

/// One webhook for each entry of the table of [`crate::injector::entries`].
pub(super) fn webhooks(base: Base<'_>, bundle: &str) -> Planned {
    let injection = &base.settings.injection;
    let selection = SelectionSettings { revision: DEFAULT_REVISION, enable_namespaces_by_default: injection.by_default };
    // Under Fail no pod that should have a sidecar speaks plain text because of a moment in which nobody answered.
    let failure_policy = if injection.lenient { "Ignore" } else { "Fail" };
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "Namespaced"});
    let webhooks: Vec<Value> = entries(&selection)
        .iter()
        .map(|entry| {
            let mut webhook = json!({
                "clientConfig": client(base, Role::Injector, "/inject", bundle),
                "rules": [rule],
                "matchPolicy": "Equivalent",
                "failurePolicy": failure_policy,
                "reinvocationPolicy": "Never",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1"],
            });
            if let (Some(fields), Value::Object(selection)) = (webhook.as_object_mut(), entry.json(WEBHOOK)) {
                fields.extend(selection);
            }
            webhook
        })
        .collect();
    base.object(Kind::MutatingWebhookConfiguration, CONFIGURATION, Role::Injector.name(), json!({"webhooks": webhooks}))
}
