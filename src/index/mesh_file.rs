//! The file with the mesh's settings.

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use super::update::Update;
use crate::config::{self, Invalid};
use crate::model::MeshConfig;
use crate::runtime::{ContentWatch, Shutdown, causes};

/// Reads the settings, again whenever they change.
#[derive(Debug)]
pub(super) struct MeshFile {
    path: PathBuf,
    watch: ContentWatch,
    interval: Duration,
    /// Whether settings have been handed out: then they stay until better ones are there.
    told: bool,
}

/// Why the settings can't be had.
#[derive(Debug, thiserror::Error)]
enum MeshFileError {
    #[error("can't be read")]
    Read(#[from] io::Error),
    #[error("is no text")]
    Text(#[from] std::string::FromUtf8Error),
    #[error("{0}")]
    Invalid(#[from] Invalid),
}

// === impl MeshFile ===

impl MeshFile {
    pub(super) fn new(path: PathBuf, interval: Duration) -> Self {
        Self { watch: ContentWatch::new(&path, interval), path, interval, told: false }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, updates: mpsc::Sender<Update>, shutdown: Shutdown) -> Result<(), Infallible> {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow(updates) => {}
        }
        Ok(())
    }

    async fn follow(&mut self, updates: mpsc::Sender<Update>) {
        let mut told_error = String::new();
        loop {
            match self.look() {
                Ok(Some(mesh)) => {
                    self.told = true;
                    told_error.clear();
                    if updates.send(Update::Mesh(Arc::new(mesh))).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    let text = causes(&error);
                    if text != told_error {
                        tracing::error!(path = %self.path.display(), error = text, old_settings_kept = self.told, "settings not understood");
                        told_error = text;
                    }
                }
            }
            sleep(self.interval).await;
        }
    }

    /// The settings if they changed. An absent file means the defaults, but does not take back what was there.
    fn look(&mut self) -> Result<Option<MeshConfig>, MeshFileError> {
        match self.watch.poll() {
            Ok(Some(content)) => Ok(Some(config::mesh_config(&String::from_utf8(content)?)?)),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((!self.told).then(MeshConfig::default)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_absent_file_means_defaults_until_there_is_one_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh");
        let mut file = MeshFile::new(path.clone(), Duration::from_secs(1));
        assert_eq!(file.look().unwrap(), Some(MeshConfig::default()));
        file.told = true;
        assert_eq!(file.look().unwrap(), None);
        fs::write(&path, "trustDomain: shop.example\n").unwrap();
        assert_eq!(file.look().unwrap().unwrap().trust_domain, "shop.example");
        fs::write(&path, "trustDomian: shop.example\n").unwrap();
        let error = file.look().unwrap_err().to_string();
        assert!(error.contains("trustDomian"), "{error}");
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look().unwrap(), None);
    }
}
