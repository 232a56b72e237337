//! Events on the MeshInstall: each marks a transition, and none is repeated within ten minutes.

use ferromesh_crds::{
    MeshInstall,
    install::{MeshInstallStatus, State},
};
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

use super::{apply::Changes, plan::MANAGER};
use crate::runtime::causes;

/// How long the same words are not said again.
const SILENCE: Duration = Duration::from_secs(600);

/// Publishes events.
pub(super) struct Events {
    client: Client,
    reporter: Reporter,
    said: BTreeMap<(String, String), Instant>,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) warning: bool,
    pub(super) reason: String,
    pub(super) note: String,
}

// === impl Events ===

impl Events {
    pub(super) fn new(client: Client, pod: &str) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(pod.to_owned()) };
        Self { client, reporter, said: BTreeMap::new() }
    }

    /// Publishes what hasn't just been said. A failure is only logged: an event is a courtesy.
    pub(super) async fn publish(&mut self, mesh: &MeshInstall, news: Vec<News>) {
        let now = Instant::now();
        self.said.retain(|_, at| now < *at + SILENCE);
        for News { warning, reason, note } in news {
            if self.said.insert((reason.clone(), note.clone()), now).is_some() {
                continue;
            }
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            let event = Event { type_, reason, note: Some(note), action: "Reconcile".to_owned(), secondary: None };
            // A recorder of its own for each: one would count what has the same reason, and keep the first one's words.
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            if let Err(error) = recorder.publish(&event, &mesh.object_ref(&())).await {
                tracing::warn!(error = causes(&error), "event not published");
            }
        }
    }
}

/// What changed between two statuses that a person should hear of.
pub(super) fn transition(previous: &MeshInstallStatus, current: &MeshInstallStatus) -> Option<News> {
    let ready = |status: &MeshInstallStatus| status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned();
    let now = ready(current)?;
    let told =
        |before: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| before.reason == now.reason && before.message == now.message;
    let same = previous.state == current.state && ready(previous).as_ref().is_some_and(told);
    match current.state? {
        State::Healthy | State::Error if !same => {
            Some(News { warning: current.state == Some(State::Error), reason: now.reason, note: now.message })
        }
        _ => None,
    }
}

/// What was put right, and what was taken away.
pub(super) fn changes(changes: &Changes) -> Vec<News> {
    let news = |reason: &str, note: String| News { warning: false, reason: reason.to_owned(), note };
    let repaired = changes.repaired.iter().map(|(key, field)| {
        let what = field.as_ref().map_or_else(|| "was deleted".to_owned(), |field| format!("was changed at {field}"));
        news("Repaired", format!("{key} {what} and has been restored"))
    });
    let pruned = changes.pruned.iter().map(|key| news("Pruned", format!("{key} is no longer part of the mesh and has been removed")));
    repaired.chain(pruned).collect()
}
