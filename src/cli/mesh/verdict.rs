//! What becomes of a pod, by what the cluster's webhook configurations say and by the decision inside our own webhook. Pure.

use std::collections::BTreeMap;

use super::subject::Subject;
use crate::cli::{
    document::{CheckInjectDocument, InjectingWebhook},
    terminal::{Style, harmless},
};
use crate::injector::{Configuration, Decision, PodView, decide, exempt, explain};
use crate::model::InjectionValues;

/// What is known of the cluster's injectors.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    /// Webhook configurations of injectors, in the order of their names.
    pub(super) configurations: Vec<Configuration>,
    /// What our injectors are told, by their revisions, as far as that could be read.
    pub(super) values: BTreeMap<String, InjectionValues>,
}

/// The webhook configuration whose injector decides by [`decide`]; those of revisions have these behind a dash.
pub(in crate::cli) const OURS: &str = "istio-sidecar-injector";
/// What the names of tags' webhook configurations begin with.
const OF_TAG: &str = "istio-revision-tag-";

/// Judges a subject.
pub(super) fn verdict(subject: &Subject, world: &World) -> CheckInjectDocument {
    let webhooks: Vec<InjectingWebhook> = world.configurations.iter().map(|it| webhook(it, subject)).collect();
    let injecting: Vec<&InjectingWebhook> = webhooks.iter().filter(|it| it.injected).collect();
    let asked_ours = injecting.iter().find(|it| world.is_ours(it));
    let values = asked_ours.and_then(|it| world.values.get(&it.revision));
    let decision = values.map(|values| match decide(&PodView::new(&subject.pod), &subject.namespace, values) {
        Decision::Inject => Ok(()),
        Decision::Skip(skip) => Err(skip.to_string()),
    });
    let others = injecting.iter().any(|it| !world.is_ours(it));
    let injected = others || (asked_ours.is_some() && !matches!(decision, Some(Err(_))));
    let conflict = (injecting.len() > 1).then(|| {
        let names: Vec<&str> = injecting.iter().map(|it| it.webhook.as_str()).collect();
        format!("{} inject this pod: its labels, or its namespace's, must choose one", names.join(" and "))
    });
    let lenient = world.configurations.iter().filter(|it| injecting.iter().any(|row| row.webhook == it.name)).all(|it| it.lenient);
    CheckInjectDocument {
        subject: subject.shown.clone(),
        injected,
        reason: decision.and_then(Result::err),
        has_sidecar: subject.exists.then(|| has_sidecar(&PodView::new(&subject.pod))),
        failure_policy: (!injecting.is_empty()).then(|| if lenient { "Ignore" } else { "Fail" }.to_owned()),
        conflict,
        webhooks,
    }
}

/// What one configuration does.
fn webhook(configuration: &Configuration, subject: &Subject) -> InjectingWebhook {
    let selected = explain(&configuration.entries, &subject.namespace_labels, &subject.labels());
    let kept_out = exempt(&PodView::new(&subject.pod)).filter(|_| selected.injected && configuration.exempts);
    let unknown = &configuration.unknown_conditions;
    let reason = match kept_out {
        Some(reason) => reason.to_owned(),
        None if selected.injected && !unknown.is_empty() => {
            format!("{}, unless its conditions {} say otherwise", selected.reason, unknown.join(", "))
        }
        None => selected.reason,
    };
    InjectingWebhook {
        webhook: configuration.name.clone(),
        revision: configuration.revision.clone(),
        injected: selected.injected && kept_out.is_none(),
        reason,
    }
}

// === impl World ===

impl World {
    /// Whether the injector behind a webhook is ours: by its name; a tag's leads to one that is told something here.
    fn is_ours(&self, webhook: &InjectingWebhook) -> bool {
        let InjectingWebhook { webhook, revision, .. } = webhook;
        is_ours(webhook) && (!webhook.starts_with(OF_TAG) || self.values.contains_key(revision))
    }
}

/// Whether a webhook configuration of that name is of our injectors: a revision's, or a tag's, which others have too.
pub(in crate::cli) fn is_ours(configuration: &str) -> bool {
    configuration.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) || configuration.starts_with(OF_TAG)
}

fn has_sidecar(pod: &PodView<'_>) -> bool {
    pod.annotation("sidecar.istio.io/status").is_some() || pod.container("istio-proxy").is_some()
}

/// Whether a pod that is there is not as it would be if it were made now.
pub(super) fn contradicts(document: &CheckInjectDocument) -> bool {
    document.has_sidecar.is_some_and(|has| has != document.injected)
}

/// The verdict for people, but for the table: one sentence a line.
pub(super) fn sentences(document: &CheckInjectDocument) -> Vec<String> {
    let mut told = Vec::new();
    let subject = &document.subject;
    match (&document.reason, document.injected) {
        (_, true) => told.push(format!("{subject} gets a sidecar when it is made.")),
        (Some(reason), false) => told.push(format!("{subject} gets no sidecar: {reason}.")),
        (None, false) => told.push(format!("{subject} gets no sidecar: no webhook asks about it.")),
    }
    match (document.has_sidecar, document.injected) {
        (Some(true), false) => told.push("It has one: it was made when labels or settings said so, or was injected by hand.".to_owned()),
        (Some(false), true) => {
            told.push("It has none: it was made before the labels said so, or while the injector was away. Restart its owner.".to_owned());
        }
        _ => {}
    }
    match document.failure_policy.as_deref() {
        Some("Ignore") => told.push("While the injector is away it starts without one (failurePolicy Ignore).".to_owned()),
        Some(_) => told.push("While the injector is away it can't be made (failurePolicy Fail).".to_owned()),
        None => {}
    }
    told.iter().map(|line| harmless(line)).collect()
}

/// The mark of a row.
pub(super) fn mark(injected: bool, style: Style) -> &'static str {
    match (injected, style.utf8) {
        (true, true) => "✔",
        (false, true) => "✘",
        (true, false) => "yes",
        (false, false) => "no",
    }
}
