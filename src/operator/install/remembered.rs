//! How the parts of an installation stand whose spec can't be brought about: by what its status remembers, since the spec tells nothing.

use ferromesh_crds::{MeshInstall, install::State};

use super::{Install, InstallError};
use crate::operator::{
    health::Health,
    object::{Kind, Scope},
    plan::webhook_configuration,
    settings::{NODES, Program, Revision, Role},
    status::Parts,
};

// === impl Install ===

impl Install {
    /// The parts that its inventory lists, as they are; none as long as nothing can be seen of them.
    ///
    /// # Errors
    /// When it can't be told whether the operator may look there.
    pub(in crate::operator) async fn remembered_parts(&mut self, mesh: &MeshInstall) -> Result<Option<Parts>, InstallError> {
        let Some(status) = &mesh.status else { return Ok(None) };
        let listed = |name: &str, kind: &str| status.inventory.iter().any(|entry| entry.kind == kind && entry.name == name);
        // Not that of the spec, which may name another one now.
        let namespace = status.inventory.iter().find(|entry| entry.kind == Kind::Deployment.name());
        let Some(namespace) = namespace.and_then(|entry| entry.namespace.as_deref()) else { return Ok(None) };
        let home = Revision::of(&mesh.spec);
        self.attach_where_bound(namespace, &home).await?;
        if !self.live.is_watched(&Scope::within(Kind::Deployment, namespace)) || !self.live.unlisted().is_empty() {
            return Ok(None);
        }
        let stands = |place: &Revision| listed(&place.part(Role::Pilot), Kind::Deployment.name());
        let asked = webhook_configuration(Role::Injector, &home).and_then(|key| {
            let name = self.live.get(&key)?["metadata"]["labels"]["istio.io/rev"].as_str()?;
            Some(Revision::named(name)).filter(stands)
        });
        let serving = asked.or_else(|| home.slots().into_iter().find(stands).filter(|_| !stands(&home))).unwrap_or(home);
        let nodes = self.live.is_watched(&Scope::within(Kind::DaemonSet, NODES));
        let is_seen = |name: &&String| {
            let (object, _) = object_of(name, &serving);
            listed(&object, Kind::Deployment.name()) || nodes && listed(&object, Kind::DaemonSet.name())
        };
        Ok(Some(self.parts_of(status.components.keys().filter(is_seen), &serving, "it is gone, and stays so while the mesh is stalled")))
    }

    /// The parts of these names in a status, those of the control plane from `place`; `gone` is said of what isn't there.
    pub(super) fn parts_of<'a>(&self, names: impl Iterator<Item = &'a String>, place: &Revision, gone: &str) -> Parts {
        let mut parts = Parts::default();
        for name in names {
            let (object, is_addon) = object_of(name, place);
            let health = Some(self.health(&object)).filter(|health| health.state != State::None);
            let health = health.unwrap_or_else(|| Health { state: State::Error, message: gone.to_owned() });
            let of = if is_addon { &mut parts.addons } else { &mut parts.components };
            of.insert(name.clone(), (object, health));
        }
        parts
    }
}

/// The name of a part's Deployment or DaemonSet, by the part's in the status, and whether that is an add-on.
fn object_of(name: &str, place: &Revision) -> (String, bool) {
    let role = Role::ALL.into_iter().find(|role| role.name() == name);
    match (role, Program::named(name)) {
        (Some(role), _) => (place.part(role), false),
        (None, Some(program)) => (program.object().to_owned(), true),
        (None, None) => (name.to_owned(), false),
    }
}
