//! A Unix socket whose file goes with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// Where processes of the same machine connect. The file is removed when nobody listens any more.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

// === impl UnixSocket ===

impl UnixSocket {
    /// Binds it, in place of one that an earlier process left.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// The next connection.
    ///
    /// # Errors
    /// Mostly when too many files are open, which ends when connections do.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A socket that is gone already needs no removal.
        let _ = fs::remove_file(&self.path);
    }
}
