//! What `manifest generate` wrote without a cluster, as a cluster has it.

use ferromesh_crds::MeshInstall;
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::{chart::NAMESPACE, cluster, object::Id};
use crate::cli::exit::Failure;
use crate::operator::{Images, generate, generate_for};

/// Objects of a file, where `manifest generate` has written some for a MeshInstall that the cluster has, as the operator would have them
/// there: the control plane stands where it has come to by now, and its webhooks are answered. All that is otherwise in the file stays.
///
/// # Errors
/// When MeshInstalls can't be listed.
pub(super) async fn as_in_cluster(client: &Client, mut given: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let mut described: Vec<MeshInstall> = given.iter().filter_map(mesh).collect();
    if described.is_empty() {
        return Ok(given);
    }
    let there = cluster::meshes(client).await?;
    described.retain_mut(|mesh| {
        let live = there.iter().find(|live| live.name_any() == mesh.name_any());
        if let Some(live) = live {
            mesh.metadata.clone_from(&live.metadata);
            mesh.status.clone_from(&live.status);
        }
        live.is_some()
    });
    // Those of the file as it says, and the others that they are to be beside.
    let is_described = |live: &MeshInstall| described.iter().any(|mesh| mesh.name_any() == live.name_any());
    let mut all: Vec<MeshInstall> = there.into_iter().filter(|live| !is_described(live)).collect();
    all.extend(described.iter().cloned());
    for mesh in &described {
        given = placed(given, mesh, &all);
    }
    Ok(given)
}

fn mesh(object: &Value) -> Option<MeshInstall> {
    (object["kind"] == "MeshInstall").then(|| serde_json::from_value(object.clone()).ok())?
}

/// The objects with those of a MeshInstall where its status says. What is wrong with the spec is not told here: no such object is there.
fn placed(given: Vec<Value>, mesh: &MeshInstall, all: &[MeshInstall]) -> Vec<Value> {
    let images = Images::published();
    let written = generate(&mesh.spec, &images, NAMESPACE).unwrap_or_default();
    let Ok(Some(live)) = generate_for(mesh, all, &images, NAMESPACE) else { return given };
    let (own, others): (Vec<Value>, Vec<Value>) = given.into_iter().partition(|object| written.contains(object));
    if own.is_empty() {
        return others;
    }
    // Of a file with a part of the objects that part is looked at, and what stands where nothing was written.
    let named = |object: &Value| Id::of(object, "");
    let is_meant =
        |object: &Value| own.iter().any(|own| named(own) == named(object)) || !written.iter().any(|one| named(one) == named(object));
    others.into_iter().chain(live.into_iter().filter(is_meant)).collect()
}
