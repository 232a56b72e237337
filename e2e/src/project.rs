//! Where the project's files are, and those that it shares with others.

use anyhow::Context;
use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Skip;

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Where the local cluster keeps its programs and its kubeconfig.
pub(crate) fn cache() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FERROMESH_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("ferromesh")))
        .or_else(|| Some(set("HOME")?.join(".cache/ferromesh")))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The folder `target/e2e/NAME`, made if it is missing: for what a test leaves to be looked at.
///
/// # Errors
/// When it can't be made.
pub fn target_folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = target().join("e2e").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    Ok(folder)
}

/// A file of the project's own sample, by its path below `samples/bookinfo`.
pub fn sample(path: &str) -> PathBuf {
    root().join("samples/bookinfo").join(path)
}

/// A file or folder of the project, by its path below the root.
pub fn own(path: &str) -> PathBuf {
    root().join(path)
}

/// A file or folder that the project shares with others, by its path below the shared folder.
///
/// # Errors
/// [`Skip`] where there is no shared folder.
pub fn shared(path: &str) -> anyhow::Result<PathBuf> {
    let folder = env::var_os("FERROMESH_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let file = folder.join(path);
    anyhow::ensure!(file.exists(), Skip(format!("{} is not there", file.display())));
    Ok(file)
}
