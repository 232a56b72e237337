//! The files that the application's library reads.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::agent::StartError;
use crate::runtime::{WorkloadCert, write_atomically};

/// The workload's certificate with its intermediates, its key, and the mesh's roots.
pub(super) const CHAIN: &str = "cert-chain.pem";
pub(super) const KEY: &str = "key.pem";
pub(super) const ROOTS: &str = "root-cert.pem";

/// What a directory has whose files get its group: that of the pod's `fsGroup`.
const SET_GROUP_ID: u32 = 0o2000;

/// Who may read files of a directory, and write to sockets in it: the application, whatever user it is. The volume is the border: it is in
/// memory, and no container has it that the template did not give it to. Where the pod has an `fsGroup`, its group will do.
fn readers(directory: &Path) -> io::Result<u32> {
    Ok(if fs::metadata(directory)?.mode() & SET_GROUP_ID == 0 { 0o644 } else { 0o640 })
}

/// Writes a file for the application.
///
/// # Errors
/// When it can't be written.
pub(super) fn write(directory: &Path, name: &str, content: &[u8]) -> Result<(), StartError> {
    let path = directory.join(name);
    let written = fs::create_dir_all(directory).and_then(|()| write_atomically(&path, content, readers(directory)?));
    written.map_err(|source| StartError::Bootstrap { path, source })
}

/// Writes certificate, key and roots, each as a whole. A library that reads a key and the certificate of another one looks again.
///
/// # Errors
/// When one can't be written.
pub(super) fn write_certificate(directory: &Path, certificate: &WorkloadCert) -> Result<(), StartError> {
    for (name, content) in [(KEY, &certificate.key_pem), (CHAIN, &certificate.chain_pem), (ROOTS, &certificate.roots_pem)] {
        write(directory, name, content.as_bytes())?;
    }
    Ok(())
}

/// Lets the application connect to a socket.
///
/// # Errors
/// When its mode can't be changed.
pub(in crate::agent) fn open_to_application(socket: &Path) -> io::Result<()> {
    let read = readers(socket.parent().unwrap_or(Path::new(".")))?;
    // Who may read may write.
    fs::set_permissions(socket, fs::Permissions::from_mode(read | (read & 0o444) >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn any_user_of_the_pod_reads_what_is_written_unless_the_pod_has_a_group() {
        let folder = tempfile::tempdir().unwrap();
        for (of_folder, of_file, of_socket) in [(0o777, 0o644, 0o666), (0o2777, 0o640, 0o660)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(of_folder)).unwrap();
            write(folder.path(), "a", b"content").unwrap();
            assert_eq!(mode(&folder.path().join("a")), of_file);
            open_to_application(&folder.path().join("a")).unwrap();
            assert_eq!(mode(&folder.path().join("a")), of_socket);
        }
    }
}
