//! Which kinds the mesh has, and what to say of an object that claims to be of another.

use ferromesh_crds::{catalog, catalog::Kind, check};

use super::manifest::Manifest;
use crate::config::{Code, Problem};

/// Ends of the API groups that are a mesh's.
const MESH_GROUPS: [&str; 2] = ["istio.io", "ferromesh.dev"];

/// What is wrong with the `apiVersion` or the `kind` of an object that should be the mesh's; nothing for those of other APIs.
pub(super) fn unknown(manifest: &Manifest<'_>) -> Option<Problem> {
    let kind = manifest.kind.filter(|_| is_mesh(manifest.group()))?;
    known(manifest, kind).err()
}

/// Whether an API group is a mesh's: one of ours, or one that we should know.
pub(super) fn is_mesh(group: &str) -> bool {
    MESH_GROUPS.iter().any(|end| group.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('.')))
}

/// The kind of an object of the mesh.
///
/// # Errors
/// When the mesh has no such kind, or not in that version: what it has instead.
pub(super) fn known(manifest: &Manifest<'_>, kind: &str) -> Result<&'static Kind, Problem> {
    let (group, version) = (manifest.group(), manifest.version());
    let problem = |path: &str, message: String| Problem { path: path.to_owned(), message, code: Code::UnknownKind };
    let Some(known) = catalog::find(group, kind) else {
        let of_group: Vec<&str> = catalog::kinds().iter().filter(|known| known.group == group).map(|known| known.name).collect();
        if of_group.is_empty() {
            let mut groups: Vec<&str> = catalog::kinds().iter().map(|known| known.group).collect();
            groups.dedup();
            let message = format!("the mesh has no API group \"{group}\", only {}", groups.join(", "));
            return Err(problem("apiVersion", with_hint(message, check::nearest(group, groups.into_iter()))));
        }
        let message = format!("{group} has no kind \"{kind}\", only {}", of_group.join(", "));
        return Err(problem("kind", with_hint(message, check::nearest(kind, of_group.into_iter()))));
    };
    if known.versions.contains(&version) {
        return Ok(known);
    }
    let message = format!("{kind} has no version \"{version}\", only {}", known.versions.join(", "));
    Err(problem("apiVersion", with_hint(message, check::nearest(version, known.versions.iter().copied()))))
}

fn with_hint(message: String, meant: Option<String>) -> String {
    meant.map(|meant| format!("{message}, did you mean \"{meant}\"?")).unwrap_or(message)
}
