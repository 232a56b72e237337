//! The mesh's namespaces: that they are there, that the operator has its rights in them, and that they are watched.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use std::collections::BTreeSet;

use super::{Install, InstallError};
use crate::operator::{
    apply::ApplyError,
    foreign::read,
    live::is_going,
    object::{Key, Kind, Scope},
    plan::{Circumstances, OWN_ROLE, nodes_preparation, preparation, serving_certificate},
    settings::{NODES, Revision, Role, Settings},
    watch::{self, Changes},
};

/// The mesh's namespace, while it is watched.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) changes: Changes,
    /// The Secrets with certificates that are watched by their names.
    secrets: BTreeSet<String>,
}

// === impl Install ===

impl Install {
    /// Sees to the namespaces, the operator's rights in them, and the watches, once. Answers what keeps the nodes' part from its namespace,
    /// if something does: all else does without it then.
    pub(super) async fn prepare(
        &mut self,
        settings: &Settings,
        circumstances: Circumstances<'_>,
    ) -> Result<Option<InstallError>, InstallError> {
        if !self.watches(settings) {
            self.prepare_mesh(settings, circumstances).await?;
        }
        let prepared = self.prepare_nodes(settings, circumstances).await;
        let hindrance = prepared.and(self.watch_nodes_left().await).err();
        // A revision beside the one that asks for the nodes' part has nothing to say of it.
        if settings.parts.contains_key(&Role::Cni) || !settings.by_cni {
            self.nodes_withheld = hindrance.is_some();
        }
        Ok(hindrance)
    }

    async fn prepare_mesh(&mut self, settings: &Settings, circumstances: Circumstances<'_>) -> Result<(), InstallError> {
        let name = &settings.namespace;
        let failed = |source| InstallError::Namespace { name: name.clone(), source: Box::new(source) };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match namespaces.get_opt(name).await.map_err(failed)? {
            Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => {
                return Err(InstallError::NamespaceGoing(name.clone()));
            }
            Some(_) => {}
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                namespaces.create(&PostParams::default(), &namespace).await.map_err(failed)?;
                tracing::info!(namespace = %name, "made");
            }
        }
        self.applier.ensure(&preparation(settings, circumstances), &mut self.live).await?;
        self.watch(&settings.namespace, &settings.revision);
        Ok(())
    }

    async fn prepare_nodes(&mut self, settings: &Settings, circumstances: Circumstances<'_>) -> Result<(), InstallError> {
        let Some(preparation) = nodes_preparation(settings, circumstances).filter(|_| !self.watches_nodes()) else { return Ok(()) };
        for object in &preparation {
            self.applier.ensure(object, &mut self.live).await?;
            if self.live.get(&object.key).is_some_and(is_going) {
                return Err(InstallError::NamespaceGoing(NODES.to_owned()));
            }
        }
        self.watch_nodes();
        Ok(())
    }

    /// Watches the namespaces in which the operator has rights already, and changes nothing. Without them it has made nothing there.
    pub(super) async fn attach(&mut self, settings: &Settings, circumstances: Circumstances<'_>) -> Result<(), InstallError> {
        if !self.watches(settings) && is_bound(&self.client, &preparation(settings, circumstances).key).await? {
            self.watch(&settings.namespace, &settings.revision);
        }
        let nodes = nodes_preparation(settings, circumstances).filter(|_| self.namespace.is_some() && !self.watches_nodes());
        if let Some([_, rights]) = nodes
            && is_bound(&self.client, &rights.key).await?
        {
            self.watch_nodes();
        }
        self.watch_nodes_left().await
    }

    /// Watches the nodes' part that is there although nobody asks for it any more, as after a change that an operator before this one did
    /// not live to see through: what is not seen stays, and is in no inventory.
    async fn watch_nodes_left(&mut self) -> Result<(), InstallError> {
        let namespace = Key::new(Kind::Namespace, "", NODES);
        let left = self.namespace.is_some() && !self.watches_nodes() && self.live.applied().any(|(key, _)| *key == namespace);
        if left && is_bound(&self.client, &Key::new(Kind::RoleBinding, NODES, OWN_ROLE)).await? {
            self.watch_nodes();
        }
        Ok(())
    }

    /// Whether the namespace is watched already; then the certificates of this control plane are, too.
    fn watches(&mut self, settings: &Settings) -> bool {
        let is_watched = self.namespace.as_ref().is_some_and(|place| place.name == settings.namespace);
        if is_watched {
            self.watch_certificates(&[settings.revision.clone()].into());
        }
        is_watched
    }

    /// Watches the certificates of the control planes at these places.
    pub(super) fn watch_certificates(&mut self, places: &BTreeSet<Revision>) {
        let Some(namespace) = self.namespace.as_mut() else { return };
        let all = |place: &Revision| Role::ALL.into_iter().filter_map(|role| serving_certificate(role, place)).collect::<Vec<_>>();
        for name in places.iter().flat_map(all) {
            if !namespace.secrets.contains(&name) {
                namespace.changes.push(watch::certificate(&self.client, &namespace.name, &name));
                namespace.secrets.insert(name);
            }
        }
    }

    /// The same for a control plane of which only the place is known, unless another namespace is watched.
    pub(super) async fn attach_where_bound(&mut self, namespace: &str, revision: &Revision) -> Result<(), InstallError> {
        if self.namespace.is_none() && is_bound(&self.client, &Key::new(Kind::RoleBinding, namespace, OWN_ROLE)).await? {
            self.watch(namespace, revision);
        }
        self.watch_nodes_left().await
    }

    fn watch(&mut self, name: &str, revision: &Revision) {
        self.live.forget_namespaces();
        self.live.await_lists(name, &Kind::NAMESPACED);
        let changes = watch::of_namespace(&self.client, name, &Kind::NAMESPACED);
        self.namespace = Some(Place { changes, name: name.to_owned(), secrets: BTreeSet::new() });
        self.watch_certificates(&[revision.clone()].into());
    }

    fn watches_nodes(&self) -> bool {
        self.live.is_watched(&Scope::within(Kind::DaemonSet, NODES))
    }

    fn watch_nodes(&mut self) {
        if let Some(place) = &mut self.namespace {
            self.live.await_lists(NODES, &Kind::ON_NODES);
            place.changes.extend(watch::of_namespace(&self.client, NODES, &Kind::ON_NODES));
        }
    }
}

/// Whether a binding is there.
async fn is_bound(client: &Client, binding: &Key) -> Result<bool, ApplyError> {
    let found = read(client, binding).await.map_err(|source| ApplyError::Read { key: binding.clone(), source })?;
    Ok(found.is_some())
}

/// Asks whether the MeshInstall is still there, before what is missing is made again: garbage collection may have taken it, and be
/// quicker than the watch.
pub(super) async fn confirm(client: &Client, mesh: &MeshInstall) -> Result<(), InstallError> {
    let name = mesh.name_any();
    let meshes: Api<MeshInstall> = Api::all(client.clone());
    match meshes.get_opt(&name).await {
        Ok(Some(found)) if found.uid() == mesh.uid() && found.metadata.deletion_timestamp.is_none() => Ok(()),
        Ok(_) => Err(InstallError::MeshGoing(name)),
        Err(source) => Err(InstallError::Mesh { name, source: Box::new(source) }),
    }
}
