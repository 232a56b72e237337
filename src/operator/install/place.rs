//! The mesh's namespace: that it is there, that the operator has its rights in it, and that it is watched.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};

use std::collections::BTreeSet;

use super::{Install, InstallError};
use crate::operator::{
    apply::ApplyError,
    plan::{Circumstances, preparation, serving_certificate},
    settings::{Role, Settings},
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
    /// Sees to the namespace, the operator's rights in it, and the watches, once.
    pub(super) async fn prepare(&mut self, settings: &Settings, circumstances: Circumstances<'_>) -> Result<(), InstallError> {
        let name = &settings.namespace;
        if self.watches(settings) {
            return Ok(());
        }
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
        self.watch(settings);
        Ok(())
    }

    /// Watches the namespace if the operator has rights in it already, and changes nothing. Without them it has made nothing there.
    pub(super) async fn attach(&mut self, settings: &Settings, circumstances: Circumstances<'_>) -> Result<(), InstallError> {
        let name = &settings.namespace;
        if self.watches(settings) {
            return Ok(());
        }
        let key = preparation(settings, circumstances).key;
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), name);
        let found = bindings.get_opt(&key.name).await;
        if found.map_err(|source| ApplyError::Read { key, source: Box::new(source) })?.is_some() {
            self.watch(settings);
        }
        Ok(())
    }

    /// Whether the namespace is watched already; then the certificates of this control plane are, too.
    fn watches(&mut self, settings: &Settings) -> bool {
        let Some(place) = self.namespace.as_mut().filter(|place| place.name == settings.namespace) else { return false };
        for name in Role::ALL.into_iter().filter_map(|role| serving_certificate(role, &settings.revision)) {
            if !place.secrets.contains(&name) {
                place.changes.push(watch::certificate(&self.client, &place.name, &name));
                place.secrets.insert(name);
            }
        }
        true
    }

    fn watch(&mut self, settings: &Settings) {
        let name = settings.namespace.clone();
        self.live.forget_namespace();
        self.namespace = Some(Place { changes: watch::of_namespace(&self.client, &name), name, secrets: BTreeSet::new() });
        self.watches(settings);
    }
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
