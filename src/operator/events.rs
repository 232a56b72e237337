//! Events on the MeshInstall: each marks a transition.

use ferromesh_crds::install::{MeshInstallStatus, State};

use super::{apply::Changes, status::FOREIGN};
use crate::runtime::News;

/// What changed between two statuses that a person should hear of.
pub(super) fn transition(previous: &MeshInstallStatus, current: &MeshInstallStatus) -> Vec<News> {
    let told = |status: &MeshInstallStatus, type_: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_)?;
        Some((condition.reason.clone(), condition.message.clone()))
    };
    let new = |type_: &str| told(current, type_).filter(|now| told(previous, type_).as_ref() != Some(now));
    let moved = previous.state != current.state;
    let ready = if moved { told(current, "Ready") } else { new("Ready") };
    let failed = current.state == Some(State::Error);
    let ready = ready.filter(|_| failed || current.state == Some(State::Healthy)).map(|it| (failed, it));
    let foreign = new(FOREIGN).map(|it| (true, it));
    ready.into_iter().chain(foreign).map(|(warning, (reason, note))| News { warning, reason, note }).collect()
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
