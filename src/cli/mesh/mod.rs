//! Verbs about which workloads belong to the mesh: why one does or does not, and how it comes in or goes.

mod check;
mod external;
mod membership;
mod subject;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

pub(super) use check::{CheckInjectArgs, values};
pub(super) use membership::{AddToMeshArgs, RemoveFromMeshArgs};
pub(super) use verdict::{OURS, is_ours};

/// A label or an annotation, as `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} must be KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
