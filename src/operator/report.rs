//! Writes statuses, where they differ, and tells of transitions.

use ferromesh_crds::{
    MeshInstall,
    install::{MeshInstallStatus, State},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::collections::BTreeMap;

use super::{
    apply::Changes,
    events::{changes, transition},
    object::Key,
    plan::MANAGER,
    reconcile::this_second,
    status::{Outcome, Report, status},
};
use crate::runtime::{EventPublisher, Term, causes};

/// Reports to the MeshInstalls.
pub(super) struct Reporter {
    meshes: Api<MeshInstall>,
    events: EventPublisher,
    /// What is to be told of another Istio in the cluster.
    foreign: Option<String>,
    /// What was last written, by uid: the watch shows it only later.
    written: BTreeMap<String, MeshInstallStatus>,
}

// === impl Reporter ===

impl Reporter {
    pub(super) fn new(client: Client, events: EventPublisher) -> Self {
        Self { meshes: Api::all(client), events, foreign: None, written: BTreeMap::new() }
    }

    /// Has all reports from now on tell of another Istio, by an object of it.
    pub(super) fn tell_of(&mut self, foreign: Option<&Key>) {
        let told = |key| format!("{key} belongs to another Istio, and nothing of it has been touched: remove it, or what it left");
        self.foreign = foreign.map(told);
    }

    /// Forgets what was written of MeshInstalls that are no more, by their uids.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.written.retain(|uid, _| is_there(uid));
    }

    /// Writes what a pass found; answers the state that it comes to. A failure is logged: the next pass finds the difference again.
    pub(super) async fn report(&mut self, mesh: &MeshInstall, outcome: Outcome, version: &str, term: &Term) -> Option<State> {
        let uid = mesh.uid().unwrap_or_default();
        let stored = mesh.status.clone().unwrap_or_default();
        let previous = self.written.get(&uid).unwrap_or(&stored).clone();
        let report = Report { generation: mesh.metadata.generation, version: version.to_owned(), foreign: self.foreign.clone(), outcome };
        let current = status(&report, &previous, &Time(this_second()));
        if !tell_the_same(&current, &stored) && term.check().is_ok() {
            let metadata = json!({"name": mesh.name_any(), "uid": uid});
            let body =
                json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": metadata, "status": current});
            let params = PatchParams::apply(MANAGER).force();
            match self.meshes.patch_status(&mesh.name_any(), &params, &Patch::Apply(body)).await {
                Ok(_) => {
                    if current.state != previous.state {
                        let state = current.state.map(|state| format!("{state:?}"));
                        tracing::info!(mesh = %mesh.name_any(), state, "state");
                    }
                    self.events.publish(&mesh.object_ref(&()), transition(&previous, &current)).await;
                }
                Err(error) => {
                    tracing::warn!(error = causes(&error), mesh = %mesh.name_any(), "status not written");
                    return current.state;
                }
            }
        }
        let state = current.state;
        self.written.insert(uid, current);
        state
    }

    /// Tells of what was put right or taken away.
    pub(super) async fn tell(&mut self, mesh: &MeshInstall, made: &Changes) {
        self.events.publish(&mesh.object_ref(&()), changes(made)).await;
    }
}

/// Whether two statuses say the same. The API server keeps the entries of a list by their names, in whatever order they came.
fn tell_the_same(one: &MeshInstallStatus, other: &MeshInstallStatus) -> bool {
    let sorted = |status: &MeshInstallStatus| {
        let mut status = status.clone();
        status.conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        status.revisions.sort_by(|one, other| one.name.cmp(&other.name));
        status
    };
    sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_api::FakeApi;

    #[tokio::test]
    async fn what_is_no_more_is_forgotten() {
        let client = FakeApi::new().client();
        let mut reporter = Reporter::new(client.clone(), EventPublisher::new(client, "test", "pod", "Test"));
        reporter.written.extend(["gone", "there"].map(|uid| (uid.to_owned(), MeshInstallStatus::default())));
        reporter.keep(|uid| uid == "there");
        assert_eq!(reporter.written.into_keys().collect::<Vec<_>>(), ["there"]);
    }
}
