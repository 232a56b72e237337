//! Events on the MeshInstall: each marks a transition.

use ferromesh_crds::install::{MeshInstallStatus, State};

use super::apply::Changes;
use crate::runtime::News;

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
