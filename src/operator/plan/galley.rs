//! Galley: validates configuration, and the webhook that asks it.

use ferromesh_crds::{MeshInstall, catalog};
use kube::Resource;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{
    Phase,
    citadel::TRUST_DOMAIN,
    control_plane::{Mount, Parts, Port},
    object::{Base, Planned},
    webhook::{client, expressions},
};
use crate::operator::{
    object::Kind,
    settings::{ConfigSource, Part, Revision, Role},
};

/// The Secret with its serving certificate, in the default revision.
pub(in crate::operator) const CERTIFICATE: &str = "istio-galley-webhook-certs";
/// The webhook configuration, in the default revision.
pub(in crate::operator) const CONFIGURATION: &str = "istio-galley";
/// The end of the name of each webhook in it.
pub(in crate::operator) const WEBHOOK: &str = "validation.istio.io";
/// The webhook configuration by which the galley at its MeshInstall's own place is tried while [`CONFIGURATION`] leads to another one. No
/// revision is called so.
pub(super) const TRIAL: &str = "istio-galley-default";
/// The label `istio.io/rev` of an object that is to reach that galley alone: with its dot it is no control plane's name.
pub(in crate::operator) const TRIED: &str = "default.tried";

/// Where it distributes configuration.
const DISTRIBUTION: Port = Port { name: "grpc-mcp", pod: 9901, service: 9901 };

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let mut parts = Parts {
        role: Role::Galley,
        container: "galley",
        labels: ("galley", "galley"),
        args: base.settings.revision.argument().into_iter().collect(),
        ports: vec![Port { name: "https-validate", pod: 9443, service: 443 }],
        env: Vec::new(),
        mounts: vec![Mount::mesh_config(&base.settings.revision), Mount::serving_certificate(base.settings.revision.object(CERTIFICATE))],
        read_at_start: Vec::new(),
        described: Vec::new(),
    };
    if base.settings.config_source == ConfigSource::Galley {
        parts.args.push(format!("--distribute=0.0.0.0:{}", DISTRIBUTION.pod));
        parts.ports.push(DISTRIBUTION);
        // Galley needs a certificate for this alone.
        parts.mounts.extend(Mount::identity());
        parts.read_at_start.push((TRUST_DOMAIN, &base.settings.mesh.trust_domain));
    }
    parts.plan(base, part)
}

/// Annotations that change what an object means.
const ANNOTATIONS: [&str; 2] = ["internal.istio.io/webhook-always-reject", "istio.io/dry-run"];

/// Objects that name `revision`, and to the default one those that name none; the control plane of `base` is asked. Nothing but the mesh's
/// own configuration is ever asked about, so that an outage of galley can't hold up anything else.
pub(super) fn webhooks(base: Base<'_>, revision: &Revision, bundle: &str, phase: Phase) -> Planned {
    configuration(base, &revision.object(CONFIGURATION), asked(revision), bundle, phase)
}

/// The webhook by which the galley of `base` is tried before it is asked about anything.
pub(super) fn trial(base: Base<'_>, bundle: &str) -> Planned {
    configuration(base, TRIAL, vec![naming(TRIED)], bundle, Phase::Unproven)
}

/// A configuration with a webhook for each name, with the objects that it is about.
fn configuration(base: Base<'_>, name: &str, asked: Vec<(String, Value)>, bundle: &str, phase: Phase) -> Planned {
    let webhook = |name: String, selector: Value| {
        json!({
            "name": name,
            "clientConfig": client(base, Role::Galley, "/validate", bundle),
            "rules": rules(),
            "objectSelector": expressions(&selector),
            "matchConditions": [{"name": "spec-changes", "expression": change()}],
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
    let webhooks: Vec<Value> = asked.into_iter().map(|(name, selector)| webhook(name, selector)).collect();
    base.object(Kind::ValidatingWebhookConfiguration, name, Role::Galley.name(), json!({"webhooks": webhooks}))
}

/// The webhooks by their names, each with the objects that it is about.
fn asked(revision: &Revision) -> Vec<(String, Value)> {
    let unnamed = json!([{"key": "istio.io/rev", "operator": "DoesNotExist"}]);
    let unnamed = revision.is_default().then(|| (WEBHOOK.to_owned(), unnamed));
    unnamed.into_iter().chain([naming(revision.name())]).collect()
}

/// The webhook about objects that name a control plane.
fn naming(name: &str) -> (String, Value) {
    (format!("rev.{WEBHOOK}"), json!([{"key": "istio.io/rev", "operator": "In", "values": [name]}]))
}

/// One a group, with every kind that is configuration: a MeshInstall is the operator's to judge.
fn rules() -> Vec<Value> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in catalog::kinds().iter().filter(|kind| kind.group != MeshInstall::group(&())) {
        groups.entry(kind.group).or_default().push(kind.plural);
    }
    groups.into_iter().map(|(group, resources)| rule(group, &resources)).collect()
}

fn rule(group: &str, resources: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": resources,
        // Never DELETE: taking configuration away must always be possible.
        "operations": ["CREATE", "UPDATE"],
        "scope": "*",
    })
}

/// Whether galley is asked: not while an object is being deleted, nor for labels, owners and the like, which change while galley is away.
/// But for annotations that mean something, and for the label by which an object comes from another revision, which was not asked.
fn change() -> String {
    let field = |kind: &str, name: &str| format!("object.metadata.?{kind}[?'{name}'] != oldObject.metadata.?{kind}[?'{name}']");
    let mut changes = vec!["object.?spec != oldObject.?spec".to_owned(), field("labels", "istio.io/rev")];
    changes.extend(ANNOTATIONS.map(|name| field("annotations", name)));
    format!("request.operation == 'CREATE' || !has(object.metadata.deletionTimestamp) && ({})", changes.join(" || "))
}
