//! The injector: adds the proxy to pods, and the webhook that asks it.

use serde_json::{Value, json};

use super::{
    config,
    control_plane::{Mount, Parts, Port, Source},
    object::{Base, Planned},
    webhook::client,
};
use crate::injector::{Entry, SelectionSettings, entries};
use crate::operator::{
    object::Kind,
    settings::{Part, Revision, Role},
};

/// The Secret with its serving certificate, in the default revision.
pub(in crate::operator) const CERTIFICATE: &str = "istio-sidecar-injector-webhook-certs";
/// The webhook configuration, in the default revision.
pub(in crate::operator) const CONFIGURATION: &str = "istio-sidecar-injector";
/// The annotation of its pods while nodes redirect traffic: when that changes, pods that have read the new settings take the place of the
/// old ones, so that the Deployment tells when all of them have.
const REDIRECTED: &str = "install.ferromesh.dev/redirected-by";
/// The start of the names of tags' webhook configurations.
const TAG: &str = "istio-revision-tag-";
/// The end of the name of each webhook in it.
const WEBHOOK: &str = "sidecar-injector.istio.io";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let (revision, images) = (&base.settings.revision, &base.settings.images);
    let parts = Parts {
        role: Role::Injector,
        container: "sidecar-injector-webhook",
        labels: ("sidecarInjectorWebhook", "sidecar-injector"),
        // What it hands out changes with itself: until a new version's injector is ready, pods get the proxy that they had.
        args: vec![format!("--hub={}", images.hub), format!("--tag={}", images.tag)],
        ports: vec![Port { name: "https-inject", pod: 9443, service: 443 }],
        env: Vec::new(),
        mounts: vec![
            Mount::mesh_config(&base.settings.revision),
            Mount { name: "inject-config", path: "/etc/istio/inject", source: Source::ConfigMap(revision.object(config::INJECTION)) },
            Mount::serving_certificate(revision.object(CERTIFICATE)),
        ],
        read_at_start: base.settings.parts.contains_key(&Role::Cni).then_some((REDIRECTED, "node")).into_iter().collect(),
        described: Vec::new(),
    };
    parts.plan(base, part)
}

/// One webhook for each entry of the table of [`crate::injector::entries`] for `revision`, about which the control plane of `base` is asked.
/// None is left where the tag `default` is `moved` to another one: all that the default one is asked about is what that name stands for.
pub(super) fn webhooks(base: Base<'_>, revision: &Revision, bundle: &str, moved: bool) -> Planned {
    let webhooks = || json!({"webhooks": asking(base, revision.name(), base.settings.injection.by_default, bundle)});
    let fields = if moved { json!({}) } else { webhooks() };
    base.object(Kind::MutatingWebhookConfiguration, &revision.object(CONFIGURATION), Role::Injector.name(), fields)
}

/// The same for those who choose a tag that stands for this control plane; `by_default` tells whether namespaces that say nothing belong to
/// the mesh, and so go where the tag `default` does.
pub(super) fn tag(base: Base<'_>, name: &str, by_default: bool, bundle: &str) -> Planned {
    let webhooks = json!({"webhooks": asking(base, name, by_default, bundle)});
    base.object(Kind::MutatingWebhookConfiguration, &tag_configuration(name), Role::Injector.name(), webhooks)
}

/// The webhook configuration of a tag.
pub(super) fn tag_configuration(tag: &str) -> String {
    format!("{TAG}{tag}")
}

/// Whether that is the name of a tag's webhook configuration.
pub(super) fn is_tag(configuration: &str) -> bool {
    configuration.starts_with(TAG)
}

/// The webhooks by which this control plane is asked about pods whose labels, or whose namespace's, choose `name`.
fn asking(base: Base<'_>, name: &str, by_default: bool, bundle: &str) -> Vec<Value> {
    let selection = SelectionSettings { revision: name, enable_namespaces_by_default: by_default };
    // Under Fail no pod that should have a sidecar speaks plain text because of a moment in which nobody answered.
    let failure_policy = if base.settings.injection.lenient { "Ignore" } else { "Fail" };
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "Namespaced"});
    let webhook = |entry: &Entry| {
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
    };
    entries(&selection).iter().map(webhook).collect()
}
