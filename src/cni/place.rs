//! Keeps the plugin in the node's folders: its program, and its place in the chain of the node's network configuration. Whatever another tool
//! does to them is mended; at the end, if it is the end of the nodes' part and not only of this pod, both go.

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};
use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{sleep, timeout};

use super::{
    CniConfig,
    chain::{ChainError, PLUGIN, chained, first, unchained},
};
use crate::runtime::{Readiness, ReadyGuard, Shutdown, causes, write_atomically};

/// What readiness waits for.
pub(super) const AWAITED: &str = "the plugin in the node's network configuration";
/// The DaemonSet whose pod this is.
const DAEMON_SET: &str = "istio-cni-node";
/// Between two looks: files of a node change rarely, and a look costs a few reads.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the API server may take to say whether this is the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Keeps the plugin where it belongs.
pub(super) struct Place {
    client: Client,
    config: CniConfig,
    /// The program as it was written: what tells it from what anybody else writes there.
    program: Option<Stamp>,
}

/// Which file it is, and of which state.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Why the plugin is not in its place.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("can't read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("can't write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} holds no network configuration: the node has no network plugin yet", .0.display())]
    Nothing(PathBuf),
    #[error("{} {reason}", path.display())]
    Configuration { path: PathBuf, reason: ChainError },
}

// === impl Place ===

impl Place {
    pub(super) fn new(client: Client, config: CniConfig) -> Self {
        Self { client, config, program: None }
    }

    /// Runs until shutdown; `first` is released once all is in place, and readiness taken back while it is not.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, readiness: Readiness, first: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut guard = Some(first);
        let mut told = None;
        loop {
            match self.settle() {
                Ok(()) => {
                    guard = None;
                    told = None;
                }
                Err(error) => {
                    let text = causes(&error);
                    // Once, and not each second.
                    if told.as_ref() != Some(&text) {
                        tracing::warn!(error = text, "the plugin is not in its place");
                        told = Some(text);
                    }
                    guard.get_or_insert_with(|| readiness.wait_for(AWAITED));
                }
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = sleep(INTERVAL) => {}
            }
        }
        if self.is_the_end().await {
            self.remove();
        }
        Ok(())
    }

    /// Puts in place what is not.
    pub(super) fn settle(&mut self) -> Result<(), PlaceError> {
        self.settle_program()?;
        let folder = &self.config.conf_dir;
        let names = file_names(folder)?;
        let name = first(names.iter().map(String::as_str)).ok_or_else(|| PlaceError::Nothing(folder.clone()))?;
        let path = folder.join(name);
        let text = fs::read_to_string(&path).map_err(|source| PlaceError::Read(path.clone(), source))?;
        let socket = self.config.socket.to_string_lossy();
        match chained(&text, &socket).map_err(|reason| PlaceError::Configuration { path: path.clone(), reason })? {
            None => Ok(()),
            Some(wanted) => {
                replace(&path, wanted.as_bytes())?;
                tracing::info!(file = %path.display(), "the plugin is in the node's network configuration");
                Ok(())
            }
        }
    }

    fn settle_program(&mut self) -> Result<(), PlaceError> {
        let path = self.config.bin_dir.join(PLUGIN);
        if self.program.is_some() && Stamp::of(&path) == self.program {
            return Ok(());
        }
        let source = &self.config.plugin;
        let content = fs::read(source).map_err(|error| PlaceError::Read(source.clone(), error))?;
        if !fs::read(&path).is_ok_and(|present| present == content) {
            write_atomically(&path, &content, 0o755).map_err(|error| PlaceError::Write(path.clone(), error))?;
            tracing::info!(file = %path.display(), "the plugin's program is in place");
        }
        self.program = Stamp::of(&path);
        Ok(())
    }

    /// Whether the nodes' part goes, and not only this pod of it: a rollout leaves the plugin, so that no pod misses its rules meanwhile.
    async fn is_the_end(&self) -> bool {
        let own: Api<DaemonSet> = Api::namespaced(self.client.clone(), &self.config.namespace);
        match timeout(PATIENCE, own.get_opt(DAEMON_SET)).await {
            Ok(Ok(Some(found))) => found.metadata.deletion_timestamp.is_some(),
            Ok(Ok(None)) => true,
            // Its rights have gone with the mesh.
            Ok(Err(kube::Error::Api(status))) => matches!(status.code, 401 | 403),
            // A node that restarts, or a control plane that does, is no end.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Takes the plugin out of every configuration, and then the program, which a runtime would else look for in vain.
    pub(super) fn remove(&self) {
        let folder = &self.config.conf_dir;
        for name in file_names(folder).unwrap_or_default().iter().filter(|name| name.ends_with(".conflist")) {
            let path = folder.join(name);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let Ok(Some(without)) = unchained(&text) else { continue };
            match replace(&path, without.as_bytes()) {
                Ok(()) => tracing::info!(file = %path.display(), "the plugin is out of the node's network configuration"),
                Err(error) => tracing::error!(error = causes(&error), "the plugin stays in the node's network configuration"),
            }
        }
        let program = self.config.bin_dir.join(PLUGIN);
        if let Err(error) = fs::remove_file(&program)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(%error, file = %program.display(), "the plugin's program stays");
        }
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { inode: metadata.ino(), size: metadata.size(), changed: (metadata.ctime(), metadata.ctime_nsec()) })
    }
}

fn file_names(folder: &Path) -> Result<Vec<String>, PlaceError> {
    let failed = |source| PlaceError::Read(folder.to_owned(), source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Writes a file in place of one that is there, with the permissions of that one.
fn replace(path: &Path, content: &[u8]) -> Result<(), PlaceError> {
    let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.mode() & 0o777);
    write_atomically(path, content, mode).map_err(|source| PlaceError::Write(path.to_owned(), source))
}
