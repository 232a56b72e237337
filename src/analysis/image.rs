//! Containers: which image the sidecar has, and as whom the application runs.

use std::{collections::BTreeMap, sync::Arc};

use super::injection::{PROXY, revision};
use super::lookups::{row, some};
use super::{Code, Finding, PodShape, World};
use crate::model::{Labels, ObjectRef};

/// The image that injection replaces.
const AUTO: &str = "auto";
/// The user whose traffic is not captured.
const SIDECARS_USER: i64 = 1337;
/// Names a sidecar's image by hand.
const OWN_IMAGE: &str = "sidecar.istio.io/proxyImage";

/// Checks all pods and Deployments.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let facts = world.facts();
    for (object, pod) in facts.pods.iter().flatten() {
        check_user(object, &pod.shape, "spec", findings);
        if has_auto_image(&pod.shape) {
            let message =
                "waits for an image that injection fills in, but was not injected: see its namespace's labels, and create it anew";
            findings.push(Finding::new(Code::ImageAutoWithoutInjectionError, object, "spec.containers", message));
        }
    }
    for (object, deployment) in facts.deployments.iter().flatten() {
        check_user(object, &deployment.template, "spec.template.spec", findings);
        if has_auto_image(&deployment.template) && is_injected(world, object, &deployment.template.labels) == Some(false) {
            let message = "waits for an image that injection fills in, but no webhook is for it: label the namespace, or the pods";
            findings.push(Finding::new(Code::ImageAutoWithoutInjectionWarning, object, "spec.template.spec.containers", message));
        }
    }
    check_versions(world, findings);
}

fn has_auto_image(shape: &PodShape) -> bool {
    shape.containers.iter().any(|container| container.name == PROXY && container.image == AUTO)
}

/// Whether some webhook injects pods with these labels; `None` if that is not known.
fn is_injected(world: &World, object: &ObjectRef, labels: &Labels) -> Option<bool> {
    let facts = world.facts();
    let webhooks = facts.webhooks.as_ref()?;
    let namespace = facts.namespaces.as_ref()?.get(&object.namespace)?;
    Some(webhooks.iter().any(|webhook| webhook.namespaces.takes(&namespace.labels) && webhook.objects.takes(labels)))
}

fn check_user(object: &ObjectRef, shape: &PodShape, spec: &str, findings: &mut Vec<Finding>) {
    let mut report = |path: String| {
        let message = format!("runs as user {SIDECARS_USER}, the sidecar's, so that its traffic passes the sidecar by: take another");
        findings.push(Finding::new(Code::InvalidApplicationUID, object, path, message));
    };
    if shape.labels.contains_key("istio") {
        return;
    }
    if shape.run_as_user == Some(SIDECARS_USER) {
        report(format!("{spec}.securityContext.runAsUser"));
    }
    for container in shape.containers.iter().filter(|container| container.name != PROXY) {
        if container.run_as_user == Some(SIDECARS_USER) {
            report(format!("{spec}.containers[{}].securityContext.runAsUser", container.name));
        }
    }
}

/// Pods keep the sidecar that they were created with, until they are created anew.
fn check_versions(world: &World, findings: &mut Vec<Finding>) {
    let facts = world.facts();
    let (Some(namespaces), Some(injectors)) = (&facts.namespaces, &facts.injectors) else { return };
    let mut stale: BTreeMap<&Arc<str>, Vec<&ObjectRef>> = BTreeMap::new();
    for (object, pod) in facts.pods.iter().flatten().filter(|(_, pod)| !pod.shape.annotations.contains_key(OWN_IMAGE)) {
        let revision = namespaces.get(&object.namespace).and_then(|namespace| revision(&namespace.labels));
        let image = revision.and_then(|revision| injectors.get(revision)?.proxy_image.as_deref());
        let Some(image) = image else { continue };
        // What waits for an image has none that could differ.
        let differs = |it: &&super::ContainerFacts| it.name == PROXY && it.image != image && it.image != AUTO;
        if pod.shape.containers.iter().any(|container| differs(&container)) {
            stale.entry(&object.namespace).or_default().push(object);
        }
    }
    for (namespace, pods) in stale {
        let object = ObjectRef { kind: "Namespace", namespace: "".into(), name: namespace.clone() };
        let message = format!("pods run another sidecar than new ones would, {}: restart them", row(pods.iter().map(|pod| &pod.name)));
        findings.push(Finding::new(Code::PodsIstioProxyImageMismatchInNamespace, &object, "", message).with(some(pods)));
    }
}
