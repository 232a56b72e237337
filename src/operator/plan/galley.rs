//! Galley: validates configuration, and the webhook that asks it.

use serde_json::{Value, json};

use super::{
    Phase,
    control_plane::{Mount, Parts},
    object::{Base, DEFAULT_REVISION, Planned},
    webhook::{client, expressions},
};
use crate::operator::{
    object::Kind,
    settings::{Part, Role},
};

/// The Secret with its serving certificate.
pub(in crate::operator) const CERTIFICATE: &str = "istio-galley-webhook-certs";
/// The webhook configuration.
pub(in crate::operator) const CONFIGURATION: &str = "istio-galley";
/// The end of the name of each webhook in it.
pub(in crate::operator) const WEBHOOK: &str = "validation.istio.io";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let parts = Parts {
        role: Role::Galley,
        container: "galley",
        labels: ("galley", "galley"),
        port: ("https-validate", 9443, 443),
        env: Vec::new(),
        mounts: vec![Mount::mesh_config(), Mount::serving_certificate(CERTIFICATE)],
        read_at_start: Vec::new(),
    };
    parts.plan(base, part)
}

/// Objects that name no revision, and those that name this one. Nothing but the mesh's own configuration is ever asked about, so that
/// an outage of galley can't hold up anything else.
pub(super) fn webhooks(base: Base<'_>, bundle: &str, phase: Phase) -> Planned {
    let unnamed = json!([{"key": "istio.io/rev", "operator": "DoesNotExist"}]);
    let ours = json!([{"key": "istio.io/rev", "operator": "In", "values": [DEFAULT_REVISION]}]);
    let webhook = |name: String, selector: Value| {
        json!({
            "name": name,
            "clientConfig": client(base, Role::Galley, "/validate", bundle),
            "rules": [
                rule("networking.istio.io", &["destinationrules", "gateways", "serviceentries", "sidecars", "virtualservices"]),
                rule("security.istio.io", &["peerauthentications"]),
            ],
            "objectSelector": expressions(&selector),
            // Labels, owners and the like change while galley is away, and so do objects that are being deleted.
            "matchConditions": [{
                "name": "spec-changes",
                "expression": "request.operation == 'CREATE' || object.?spec != oldObject.?spec",
            }],
            "matchPolicy": "Equivalent",
            "failurePolicy": match phase {
                Phase::Unproven => "Ignore",
                Phase::Proven => "Fail",
            },
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        })
    };
    let webhooks = json!({"webhooks": [webhook(WEBHOOK.to_owned(), unnamed), webhook(format!("rev.{WEBHOOK}"), ours)]});
    base.object(Kind::ValidatingWebhookConfiguration, CONFIGURATION, Role::Galley.name(), webhooks)
}

fn rule(group: &str, resources: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": resources,
        // Never DELETE: taking configuration away must always be possible.
        "operations": ["CREATE", "UPDATE"],
        "scope": "Namespaced",
    })
}
