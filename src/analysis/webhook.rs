//! Webhooks that inject: each pod is for one of them, and it is there.

use std::collections::{BTreeMap, BTreeSet};

use super::lookups::row;
use super::{Code, Finding, LabelSelector, WebhookFacts, World};
use crate::model::{Labels, ObjectRef};

const REVISION: &str = "istio.io/rev";

/// Checks all webhooks.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let Some(webhooks) = &world.facts().webhooks else { return };
    for (place, rivals) in overlaps(webhooks) {
        let webhook = &webhooks[place];
        let names = rivals.iter().map(|rival| format!("{} of {}", webhooks[*rival].name, webhooks[*rival].configuration));
        let message = format!("{} injects into the same pods as {}: each pod may have one", webhook.name, row(names));
        findings.push(Finding::new(Code::InvalidWebhook, &configuration(webhook), "webhooks", message));
    }
    let Some(services) = &world.facts().services else { return };
    for webhook in webhooks {
        let Some((namespace, name)) = &webhook.service else { continue };
        let service = ObjectRef::new("Service", namespace, name);
        if !services.contains_key(&service) {
            let message = format!("{} calls {service}, which is not there: pods are not injected", webhook.name);
            findings.push(Finding::new(Code::InvalidWebhook, &configuration(webhook), "webhooks", message).with([service]));
        }
    }
}

fn configuration(webhook: &WebhookFacts) -> ObjectRef {
    ObjectRef { kind: "MutatingWebhookConfiguration", namespace: "".into(), name: webhook.configuration.clone() }
}

/// Webhooks that are for the same pod, for all pods and namespaces that differ for any of them.
fn overlaps(webhooks: &[WebhookFacts]) -> BTreeMap<usize, BTreeSet<usize>> {
    let revisions: BTreeSet<&str> = webhooks.iter().flat_map(|it| [&it.namespaces, &it.objects]).flat_map(revisions).collect();
    let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for namespace in variants("istio-injection", ["enabled", "disabled"], &revisions) {
        let takers: Vec<usize> = (0..webhooks.len()).filter(|place| webhooks[*place].namespaces.takes(&namespace)).collect();
        for pod in variants("sidecar.istio.io/inject", ["true", "false"], &revisions) {
            let takers: Vec<usize> = takers.iter().copied().filter(|place| webhooks[*place].objects.takes(&pod)).collect();
            for place in takers.iter().filter(|_| takers.len() > 1) {
                found.entry(*place).or_default().extend(takers.iter().filter(|other| *other != place));
            }
        }
    }
    found
}

/// The revisions that a selector asks for.
fn revisions(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    let listed = selector.expressions.iter().filter(|it| it.key == REVISION).flat_map(|it| &it.values);
    selector.labels.get(REVISION).into_iter().chain(listed).map(String::as_str)
}

/// All labels that make a difference: with and without the one label, with and without each revision.
fn variants(name: &str, values: [&str; 2], of_revisions: &BTreeSet<&str>) -> Vec<Labels> {
    let mut all = Vec::new();
    for value in [None, Some(values[0]), Some(values[1])] {
        let base: Labels = value.into_iter().map(|value| (name.to_owned(), value.to_owned())).collect();
        all.push(base.clone());
        all.extend(of_revisions.iter().map(|revision| {
            let mut labels = base.clone();
            labels.insert(REVISION.to_owned(), (*revision).to_owned());
            labels
        }));
    }
    all
}
