//! The chart's ClusterRoles: whether they are there, and that they go with the last of their owners.
//!
//! Helm leaves them when the release is removed, because the mesh that runs needs them. So the operator enters their owners, the chart's
//! own ClusterRole and each MeshInstall, and garbage collection does the rest.

use futures::StreamExt;
use k8s_openapi::{
    api::{coordination::v1::Lease, rbac::v1::ClusterRole},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::json;
use std::{collections::BTreeSet, convert::Infallible, pin::pin};

use super::{LEASE, plan::MANAGER, refusal::advised};
use crate::runtime::{Readiness, ReadyGuard, Shutdown, causes};

/// The roles of the control plane's parts, and the operator's own that are bound as they are needed.
pub(super) const ROLES: [&str; 13] = [
    "ferromesh-citadel",
    "ferromesh-citadel-namespaced",
    "ferromesh-cni",
    "ferromesh-cni-repair",
    "ferromesh-galley",
    "ferromesh-galley-namespaced",
    "ferromesh-injector",
    "ferromesh-kiali",
    "ferromesh-pilot",
    "ferromesh-pilot-configuration",
    "ferromesh-prometheus",
    "ferromesh-proxies",
    "ferromesh-rollout",
];
/// The owner of the owners' field.
const OWNERS: &str = "ferromesh-operator-owners";
/// The label that they have.
const OURS: &str = "app.kubernetes.io/part-of=ferromesh";

/// Enters owners into the roles.
pub(super) struct Roles {
    client: Client,
    /// For whom it has been done.
    entered: Option<Vec<OwnerReference>>,
}

/// Why owners couldn't be entered.
#[derive(Debug, thiserror::Error)]
pub(super) enum RolesError {
    #[error("the chart's ClusterRole {0} is missing: run helm upgrade")]
    Missing(String),
    #[error("{name} can't be read or written: {}", advised(source))]
    Api { name: String, source: Box<kube::Error> },
}

// === impl Roles ===

impl Roles {
    pub(super) fn new(client: Client) -> Self {
        Self { client, entered: None }
    }

    /// The chart, as an owner: the ClusterRole that comes and goes with its release.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) async fn chart(&self) -> Result<OwnerReference, RolesError> {
        let role = self.get(MANAGER).await?;
        Ok(OwnerReference {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: MANAGER.to_owned(),
            uid: role.uid().unwrap_or_default(),
            ..OwnerReference::default()
        })
    }

    /// Makes `owners` the owners of the roles, and the chart that of the operator's lease; once for the same owners.
    ///
    /// # Errors
    /// When a role is missing, or the API server says no.
    pub(super) async fn enter(&mut self, owners: &[OwnerReference], namespace: &str) -> Result<(), RolesError> {
        if self.entered.as_deref() == Some(owners) {
            return Ok(());
        }
        for name in ROLES {
            let role = self.get(name).await?;
            if role.owner_references() != owners {
                // With its uid the patch can't mean another role that came in its place.
                let metadata = json!({"name": name, "uid": role.uid(), "ownerReferences": owners});
                let patch = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata});
                self.api().patch(name, &apply(), &Patch::Apply(patch)).await.map_err(|source| failed(name, source))?;
            }
        }
        if let Some(chart) = owners.first() {
            let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
            // One that somebody has deleted is the elector's to bring back.
            let Some(lease) = leases.get_opt(LEASE).await.map_err(|source| failed(LEASE, source))? else { return Ok(()) };
            let metadata = json!({"name": LEASE, "uid": lease.uid(), "ownerReferences": [chart]});
            let patch = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata});
            leases.patch(LEASE, &apply(), &Patch::Apply(patch)).await.map_err(|source| failed(LEASE, source))?;
        }
        self.entered = Some(owners.to_vec());
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<ClusterRole, RolesError> {
        let role = self.api().get_opt(name).await.map_err(|source| failed(name, source))?;
        role.ok_or_else(|| RolesError::Missing(name.to_owned()))
    }

    fn api(&self) -> Api<ClusterRole> {
        Api::all(self.client.clone())
    }
}

/// Holds readiness back while a role is missing, in every replica, until shutdown.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn watch(client: Client, first: ReadyGuard, readiness: Readiness, shutdown: Shutdown) -> Result<(), Infallible> {
    let roles: Api<PartialObjectMeta<ClusterRole>> = Api::all(client);
    let mut events = pin!(watcher(roles, watcher::Config::default().labels(OURS)).default_backoff());
    let (mut guard, mut there, mut listed, mut told) = (Some(first), BTreeSet::new(), false, None);
    loop {
        let event = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            Some(event) = events.next() => event,
        };
        match event {
            Ok(Event::Init) => {
                there.clear();
                listed = false;
            }
            Ok(Event::InitDone) => listed = true,
            Ok(Event::InitApply(role) | Event::Apply(role)) => _ = there.insert(role.name_any()),
            Ok(Event::Delete(role)) => _ = there.remove(&role.name_any()),
            // A failed look says nothing about roles that were there before.
            Err(error) => tracing::warn!(error = causes(&error), "watch of the chart's ClusterRoles broken"),
        }
        if !listed {
            continue;
        }
        let missing = ROLES.into_iter().find(|name| !there.contains(*name));
        match missing {
            None => drop(guard.take()),
            Some(_) => _ = guard.get_or_insert_with(|| readiness.wait_for("the chart's ClusterRoles")),
        }
        if let Some(missing) = missing.filter(|_| missing != told) {
            tracing::warn!(error = %RolesError::Missing(missing.to_owned()), "not ready");
        }
        told = missing;
    }
}

fn apply() -> PatchParams {
    PatchParams::apply(OWNERS).force()
}

fn failed(name: &str, source: kube::Error) -> RolesError {
    RolesError::Api { name: name.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_api::FakeApi;

    #[tokio::test]
    async fn the_operators_lease_gets_its_owner_and_is_never_made_here() {
        let api = FakeApi::new();
        for name in ROLES.into_iter().chain([MANAGER]) {
            api.insert(&serde_json::from_value::<ClusterRole>(json!({"metadata": {"name": name}})).unwrap());
        }
        let mut roles = Roles::new(api.client());
        let owners = [roles.chart().await.unwrap()];
        roles.enter(&owners, "ferromesh-system").await.unwrap();
        assert!(api.list::<Lease>().is_empty());

        let lease = json!({"metadata": {"name": LEASE, "namespace": "ferromesh-system"}});
        api.insert(&serde_json::from_value::<Lease>(lease).unwrap());
        roles.enter(&owners, "ferromesh-system").await.unwrap();
        assert_eq!(api.list::<Lease>()[0].owner_references(), owners);
    }
}
