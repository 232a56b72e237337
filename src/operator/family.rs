//! How the MeshInstalls of a cluster belong together: one for each control plane, of which the first has what all of them share. Pure.

use ferromesh_crds::{MeshInstall, MeshInstallSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::{
    meshes::Meshes,
    plan::Share,
    settings::{Images, Problems, Revision, Role, Settings, resolve},
};

/// The MeshInstalls of a cluster.
pub(super) struct Family {
    /// One for each revision. What the control planes share is the default one's; without that, the oldest one's.
    pub(super) members: Vec<Member>,
    /// Those that want a revision which an older one has, with that one's name.
    pub(super) rivals: Vec<(MeshInstall, String)>,
}

/// One that is installed.
pub(super) struct Member {
    pub(super) mesh: MeshInstall,
    pub(super) settings: Result<Settings, Problems>,
    /// What the control planes share, if that is this one's.
    pub(super) share: Option<Share>,
    /// Where the tags that it has lead.
    pub(super) tags: Vec<TagWish>,
}

/// A tag, and the control plane that it is to stand for.
#[derive(Clone, Debug)]
pub(super) struct TagWish {
    pub(super) name: String,
    /// The control plane's settings, or why the tag can't stand for it.
    pub(super) target: Result<Settings, String>,
}

// === impl Member ===

impl Member {
    /// The MeshInstall's uid.
    pub(super) fn uid(&self) -> &str {
        self.mesh.metadata.uid.as_deref().unwrap_or_default()
    }
}

// === impl Family ===

impl Family {
    /// Sorts MeshInstalls. The webhook lets no two of one revision in, but it may have been away. One that is being deleted is left to the
    /// garbage collector.
    pub(super) fn of(meshes: &Meshes, images: &Images) -> Self {
        let mut all: Vec<&MeshInstall> = meshes.values().collect();
        all.sort_by_key(|mesh| (mesh.metadata.creation_timestamp.clone().map(|time| time.0), mesh.name_any()));
        let (mut first, mut rivals): (Vec<&MeshInstall>, _) = (Vec::new(), Vec::new());
        for mesh in all {
            match first.iter().find(|other| other.spec.revision() == mesh.spec.revision()) {
                Some(other) => rivals.push((mesh.clone(), other.name_any())),
                None => first.push(mesh),
            }
        }
        first.retain(|mesh| mesh.metadata.deletion_timestamp.is_none());
        first.sort_by_key(|mesh| !Revision::of(&mesh.spec).is_default());
        let holder = first.first().copied();
        let settings = |mesh: &MeshInstall| together(&mesh.spec, images, holder.filter(|holder| holder.uid() != mesh.uid()));
        let member = |mesh: &MeshInstall| Member { mesh: mesh.clone(), settings: settings(mesh), share: None, tags: Vec::new() };
        let mut members: Vec<Member> = first.into_iter().map(member).collect();
        let mut share = Share { heirs: members.iter().skip(1).map(|heir| owner(&heir.mesh)).collect(), ..Share::default() };
        members.iter().filter_map(|member| member.settings.as_ref().ok()).for_each(|settings| share.count(settings));
        let tags = tags(&members);
        if let Some(holder) = members.first_mut() {
            (holder.share, holder.tags) = (Some(share), tags);
        }
        Self { members, rivals }
    }
}

/// Where the tags lead that the first MeshInstall has.
fn tags(members: &[Member]) -> Vec<TagWish> {
    let of = |revision: &Revision| members.iter().find(|member| Revision::of(&member.mesh.spec) == *revision);
    let target = |name: &str, revision: &Revision| {
        if !Revision::named(name).is_default() && of(&Revision::named(name)).is_some() {
            return Err(format!("{name} is the name of a revision"));
        }
        let Some(member) = of(revision) else { return Err(format!("there is no revision {}", revision.name())) };
        match &member.settings {
            Ok(settings) if settings.parts.contains_key(&Role::Injector) => Ok(settings.clone()),
            Ok(_) => Err(format!("revision {} has no injector", revision.name())),
            Err(_) => Err(format!("MeshInstall {} can't be understood", member.mesh.name_any())),
        }
    };
    let first = members.first().and_then(|first| first.settings.as_ref().ok());
    let all = first.into_iter().flat_map(|settings| &settings.tags);
    all.map(|(name, revision)| TagWish { name: name.clone(), target: target(name, revision) }).collect()
}

/// Reads a spec beside the MeshInstall that has what is shared, if that is another one.
///
/// # Errors
/// All that is wrong with the spec, by itself or beside that one. What is wrong with the other is not told here, and does no harm.
pub(super) fn together(spec: &MeshInstallSpec, images: &Images, holder: Option<&MeshInstall>) -> Result<Settings, Problems> {
    let settings = resolve(spec, images)?;
    let Some(holder) = holder else { return Ok(settings) };
    match resolve(&holder.spec, images) {
        Ok(mesh) => settings.beside(&mesh, &holder.name_any()),
        Err(_) => Ok(settings.without_shared(has_cni(holder))),
    }
}

/// Whether the nodes' part has been installed for a MeshInstall, whatever it says now.
fn has_cni(mesh: &MeshInstall) -> bool {
    let inventory = mesh.status.iter().flat_map(|status| &status.inventory);
    inventory.into_iter().any(|entry| entry.kind == "DaemonSet" && entry.name == Role::Cni.object())
}

/// The MeshInstall as an owner.
pub(super) fn owner(mesh: &MeshInstall) -> OwnerReference {
    OwnerReference {
        api_version: MeshInstall::api_version(&()).into_owned(),
        kind: MeshInstall::kind(&()).into_owned(),
        name: mesh.name_any(),
        uid: mesh.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mesh(name: &str, second: u8, spec: &Value) -> (String, MeshInstall) {
        let metadata =
            json!({"name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")});
        let object = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": metadata, "spec": spec});
        (name.to_owned(), serde_json::from_value(object).unwrap())
    }

    fn images() -> Images {
        Images { hub: "h".to_owned(), tag: "t".to_owned(), pull_policy: "Always".to_owned() }
    }

    fn names(meshes: &Meshes) -> (Vec<String>, Vec<(String, String)>) {
        let family = Family::of(meshes, &images());
        let rivals = family.rivals.iter().map(|(mesh, first)| (mesh.name_any(), first.clone())).collect();
        (family.members.iter().map(|member| member.mesh.name_any()).collect(), rivals)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_default_one_comes_first_and_has_what_is_shared() {
        let canary = mesh("canary", 1, &json!({"revision": "canary", "updateStrategy": {"workloads": "Rolling"}}));
        let meshes = Meshes::from([canary.clone(), mesh("mesh", 2, &json!({"profile": "minimal"}))]);
        assert_eq!(names(&meshes), (texts(&["mesh", "canary"]), vec![]));
        let family = Family::of(&meshes, &images());
        let share = family.members[0].share.as_ref().unwrap();
        assert_eq!(share.heirs.iter().map(|heir| heir.name.as_str()).collect::<Vec<_>>(), ["canary"]);
        assert!(share.injects && share.rolls, "as the canary does");
        assert!(family.members[1].share.is_none());
        let alone = Meshes::from([canary]);
        assert!(Family::of(&alone, &images()).members[0].settings.as_ref().unwrap().parts.contains_key(&Role::Citadel), "who else");
    }

    #[test]
    fn a_tag_stands_for_a_revision_that_is_there() {
        let spec = json!({"tags": {"prod": "canary", "old": "gone", "default": "canary", "canary": "default", "bare": "bare-one"}});
        let bare = json!({"revision": "bare-one", "components": {"injector": {"enabled": false}}});
        let meshes = Meshes::from([mesh("mesh", 1, &spec), mesh("canary", 2, &json!({"revision": "canary"})), mesh("bare", 3, &bare)]);
        let family = Family::of(&meshes, &images());
        let told = |tag: &TagWish| {
            let target = tag.target.as_ref().map(|settings| settings.revision.name().to_owned());
            format!("{}: {}", tag.name, target.unwrap_or_else(|reason| reason.clone()))
        };
        let wanted = [
            "bare: revision bare-one has no injector",
            "canary: canary is the name of a revision",
            "default: canary",
            "old: there is no revision gone",
            "prod: canary",
        ];
        assert_eq!(family.members[0].tags.iter().map(told).collect::<Vec<_>>(), wanted);
        assert!(family.members[1].tags.is_empty());
    }

    #[test]
    fn of_two_with_one_revision_the_older_is_installed() {
        let (old, new) = (mesh("b", 1, &json!({})), mesh("a", 2, &json!({})));
        assert_eq!(names(&Meshes::from([new, old])), (texts(&["b"]), vec![("a".to_owned(), "b".to_owned())]));
    }

    #[test]
    fn a_revision_is_read_although_the_default_one_says_nonsense() {
        let mut bad = mesh("mesh", 1, &json!({"components": {"policy": {"enabled": true}}}));
        let inventory = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "istio-cni-node"}]);
        bad.1.status = Some(serde_json::from_value(json!({"inventory": inventory})).unwrap());
        let meshes = Meshes::from([bad, mesh("canary", 2, &json!({"revision": "canary"}))]);
        let family = Family::of(&meshes, &images());
        assert!(family.members[0].settings.is_err());
        let canary = family.members[1].settings.as_ref().unwrap();
        assert!(canary.by_cni && !canary.parts.contains_key(&Role::Citadel));
    }
}
