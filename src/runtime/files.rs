//! Files that others write while we read, and the other way round.

use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Replaces the file at `path` by one with this content and mode (as in 0o600). A reader sees the old file or the new one, whole; after
/// a crash or on a full disk the old one stays.
///
/// # Errors
/// When the directory can't be written.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let temporary = directory.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let result = write_and_rename(&temporary, path, directory, content, mode);
    if result.is_err() {
        // The first error is the one to report; a file that can't be removed is replaced by the next attempt.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_and_rename(temporary: &Path, path: &Path, directory: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // The rename itself is only durable once the directory is.
    File::open(directory)?.sync_all()
}

/// A file whose content is looked at again and again.
///
/// Polling rather than inotify: Kubernetes swaps a symbolic link two levels above the file, and a mounted ConfigMap is small.
#[derive(Debug)]
pub struct ContentWatch {
    path: PathBuf,
    interval: Duration,
    seen: Option<[u8; 32]>,
}

// === impl ContentWatch ===

impl ContentWatch {
    /// Between two looks at a mounted ConfigMap or Secret. It changes a minute after its object; looking every second adds nothing to
    /// that.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// Looks at `path` every `interval`.
    pub fn new(path: impl Into<PathBuf>, interval: Duration) -> Self {
        Self { path: path.into(), interval, seen: None }
    }

    /// The content if it differs from what the last call returned; `None` if it does not.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn poll(&mut self) -> io::Result<Option<Vec<u8>>> {
        let content = fs::read(&self.path)?;
        let hash = Sha256::digest(&content).into();
        Ok((self.seen.replace(hash) != Some(hash)).then_some(content))
    }

    /// Waits for content that differs from what was returned before; the first call returns what is there. A file that can't be read is
    /// looked at again: it may be about to be mounted.
    pub async fn changed(&mut self) -> Vec<u8> {
        loop {
            match self.poll() {
                Ok(Some(content)) => return content,
                Ok(None) => {}
                Err(error) => tracing::debug!(path = %self.path.display(), %error, "file can't be read yet"),
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write_atomically(&path, b"old", 0o600).unwrap();
        write_atomically(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        // A directory can't be replaced by a file: the rename fails after the content was written.
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"new", 0o600).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn changes_are_seen_once_each() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh");
        let mut watch = ContentWatch::new(&path, Duration::from_millis(1));
        fs::write(&path, "a").unwrap();
        assert_eq!(watch.changed().await, b"a");
        fs::write(&path, "a").unwrap();
        assert_eq!(watch.poll().unwrap(), None);
        fs::write(&path, "b").unwrap();
        assert_eq!(watch.changed().await, b"b");
    }
}
