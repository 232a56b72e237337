//! What is to be planned of a MeshInstall, seen from outside: its settings, and what it has for the others. Pure.

use ferromesh_crds::MeshInstall;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use std::collections::BTreeMap;

use super::{
    family::Family,
    meshes::Meshes,
    object::Key,
    plan::{Share, tag_configuration},
    settings::{Images, Problems, Settings},
};
use crate::config;
use crate::model::DEFAULT_REVISION;

/// A MeshInstall that is to be planned.
pub(super) struct Intent {
    pub(super) settings: Settings,
    /// What the mesh's control planes share, if that is this one's.
    pub(super) share: Option<Share>,
    /// The tags that it has, each with the settings of the control plane that it is to stand for.
    pub(super) tags: BTreeMap<String, Settings>,
    /// The webhook configurations of tags that can't stand for what they should, which stay as they are.
    pub(super) kept: Vec<Key>,
    /// Whether the tag `default` leads elsewhere.
    pub(super) default_moved: bool,
}

// === impl Intent ===

impl Intent {
    /// Of the only MeshInstall that is known. A revision is taken to be beside a default one, which has what both share; revisions that
    /// tags stand for are taken to be there, with an injector like this one's.
    pub(super) fn alone(settings: Settings) -> Self {
        let settings = if settings.revision.is_default() { settings } else { settings.without_shared(false) };
        Self {
            share: settings.revision.is_default().then(|| Share::alone(&settings)),
            tags: settings.tags.iter().map(|(name, of)| (name.clone(), Settings { revision: of.clone(), ..settings.clone() })).collect(),
            kept: Vec::new(),
            default_moved: settings.tags.contains_key(DEFAULT_REVISION),
            settings,
        }
    }

    /// Of a MeshInstall among all of a cluster, as the operator sees them; it counts in place of the one of its name. None if the operator
    /// does nothing for it: it is being deleted, or another one has its revision.
    ///
    /// # Errors
    /// All that is wrong with its spec, by itself or beside the others.
    pub(super) fn among(mesh: &MeshInstall, all: &[MeshInstall], images: &Images) -> Result<Option<Self>, Vec<config::Problem>> {
        let (name, mut mesh) = (mesh.name_any(), mesh.clone());
        // One that isn't there yet will be the youngest.
        mesh.metadata.creation_timestamp.get_or_insert(Time(Timestamp::MAX));
        let mut meshes: Meshes = all.iter().map(|one| (one.name_any(), one.clone())).collect();
        meshes.insert(name.clone(), mesh);
        let Some(member) = Family::of(&meshes, images).members.into_iter().find(|member| member.mesh.name_any() == name) else {
            return Ok(None);
        };
        let stands = member.mesh.status.as_ref().is_some_and(|status| status.tags.contains_key(DEFAULT_REVISION));
        let (mut tags, mut kept) = (BTreeMap::new(), Vec::new());
        for tag in member.tags {
            match tag.target {
                Ok(target) => _ = tags.insert(tag.name, target),
                Err(_) => kept.push(tag_configuration(&tag.name)),
            }
        }
        let default_moved = tags.contains_key(DEFAULT_REVISION) || (stands && kept.contains(&tag_configuration(DEFAULT_REVISION)));
        let settings = member.settings.map_err(told)?;
        Ok(Some(Self { settings, share: member.share, tags, kept, default_moved }))
    }
}

/// What is wrong with a spec, for those who don't know the operator's own problems.
pub(super) fn told(problems: Problems) -> Vec<config::Problem> {
    problems.0.into_iter().map(config::Problem::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mesh(name: &str, created: Option<&str>, spec: Value) -> MeshInstall {
        let metadata = json!({"name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": created});
        let object = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": metadata, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn among(mesh: &MeshInstall, all: &[MeshInstall]) -> Option<Intent> {
        Intent::among(mesh, all, &Images::published()).unwrap()
    }

    #[test]
    fn the_operator_does_nothing_for_one_that_is_going_or_comes_second() {
        let first = mesh("b", Some("2026-01-01T00:00:01Z"), json!({}));
        let second = mesh("a", Some("2026-01-01T00:00:02Z"), json!({}));
        assert!(among(&first, &[second.clone(), first.clone()]).is_some());
        assert!(among(&second, &[second.clone(), first.clone()]).is_none());
        let mut going = first;
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(among(&going, &[]).is_none());
    }

    #[test]
    fn one_that_is_not_there_yet_is_the_youngest() {
        let there = mesh("z", Some("2026-01-01T00:00:01Z"), json!({"revision": "z"}));
        let new = mesh("a", None, json!({"revision": "a"}));
        assert!(among(&new, std::slice::from_ref(&there)).unwrap().share.is_none());
        assert!(among(&there, &[]).unwrap().share.is_some(), "who else");
    }

    #[test]
    fn the_tag_default_has_moved_while_it_stands() {
        let mut holder = mesh("mesh", Some("2026-01-01T00:00:01Z"), json!({"tags": {"default": "canary"}}));
        let canary = mesh("canary", Some("2026-01-01T00:00:02Z"), json!({"revision": "canary"}));
        let with = among(&holder, &[canary]).unwrap();
        assert!(with.default_moved && with.kept.is_empty() && with.tags.contains_key("default"));
        let without = |holder: &MeshInstall| among(holder, &[]).map(|intent| (intent.default_moved, intent.kept.len(), intent.tags.len()));
        assert_eq!(without(&holder), Some((false, 1, 0)));
        holder.status = Some(serde_json::from_value(json!({"tags": {"default": "canary"}})).unwrap());
        assert_eq!(without(&holder), Some((true, 1, 0)));
    }
}
