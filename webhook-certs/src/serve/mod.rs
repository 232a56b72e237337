//! Serves a certificate that can change while connections are made.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Defect, ServeError};
use crate::material::{KeyPem, TLS_CRT, TLS_KEY};

/// The certificate that new handshakes get. Replacing it doesn't touch connections that exist.
pub struct ReloadingCert {
    current: ArcSwap<CertifiedKey>,
    /// What `current` was made from, to tell a change; held only to compare and swap, never while a file is read.
    loaded: Mutex<Pair>,
    directory: Option<PathBuf>,
}

#[derive(PartialEq, Eq)]
struct Pair {
    cert: String,
    key: KeyPem,
}

// === impl ReloadingCert ===

impl ReloadingCert {
    /// Loads `tls.crt` and `tls.key` of `directory`, as a Secret is mounted.
    ///
    /// # Errors
    /// [`ServeError`] if a file can't be read or the two are not a usable pair.
    pub fn from_files(directory: &Path) -> Result<Arc<Self>, ServeError> {
        let pair = Pair::read(directory)?;
        Self::new(pair, Some(directory.to_owned()))
    }

    /// Takes certificate and key as PEM.
    ///
    /// # Errors
    /// [`ServeError::Defect`] if the two are not a usable pair.
    pub fn from_pem(cert: &str, key: &KeyPem) -> Result<Arc<Self>, ServeError> {
        Self::new(Pair { cert: cert.to_owned(), key: key.clone() }, None)
    }

    /// Reads the files again and serves what they hold if it changed; answers whether it did. The caller decides how often.
    ///
    /// # Errors
    /// [`ServeError`] if what is there can't be used; the certificate from before is served on.
    pub fn reload_if_changed(&self) -> Result<bool, ServeError> {
        let directory = self.directory.as_ref().ok_or(ServeError::NoFiles)?;
        self.swap(Pair::read(directory)?)
    }

    /// Serves another certificate from now on; answers whether it is another.
    ///
    /// # Errors
    /// [`ServeError::Defect`] if the two are not a usable pair; the certificate from before is served on.
    pub fn replace(&self, cert: &str, key: &KeyPem) -> Result<bool, ServeError> {
        self.swap(Pair { cert: cert.to_owned(), key: key.clone() })
    }

    fn new(pair: Pair, directory: Option<PathBuf>) -> Result<Arc<Self>, ServeError> {
        let key = certified_key(&pair.cert, &pair.key).map_err(ServeError::Defect)?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(key), loaded: Mutex::new(pair), directory }))
    }

    fn swap(&self, pair: Pair) -> Result<bool, ServeError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if *loaded == pair {
            return Ok(false);
        }
        let key = certified_key(&pair.cert, &pair.key).map_err(ServeError::Defect)?;
        self.current.store(Arc::new(key));
        *loaded = pair;
        Ok(true)
    }
}

impl ResolvesServerCert for ReloadingCert {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for ReloadingCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadingCert").field("directory", &self.directory).finish_non_exhaustive()
    }
}

// === impl Pair ===

impl Pair {
    fn read(directory: &Path) -> Result<Self, ServeError> {
        // kubelet switches the link `..data` from one folder to the next: through its target both files are of one version.
        let version = std::fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned());
        let read = |name: &str| {
            let path = version.join(name);
            std::fs::read_to_string(&path).map_err(|source| ServeError::Read { path, source })
        };
        Ok(Self { cert: read(TLS_CRT)?, key: KeyPem::new(read(TLS_KEY)?) })
    }
}

/// Server settings of every webhook: TLS 1.3 alone, HTTP/2 preferred, no client certificates.
///
/// # Errors
/// [`ServeError::Tls`] if the TLS library refuses them.
pub fn server_config(certificate: Arc<ReloadingCert>) -> Result<ServerConfig, ServeError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ServeError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Certificate chain and key as the TLS library wants them, proven to belong together.
pub(crate) fn certified_key(cert: &str, key: &KeyPem) -> Result<CertifiedKey, Defect> {
    let unreadable = |error: rustls_pki_types::pem::Error| Defect::BadCertificate { key: TLS_CRT, reason: error.to_string() };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(Defect::NoCertificate { key: TLS_CRT });
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| Defect::BadKey)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        TlsError::InconsistentKeys(_) => Defect::KeyMismatch,
        TlsError::InvalidCertificate(reason) => Defect::BadCertificate { key: TLS_CRT, reason: format!("{reason:?}") },
        _ => Defect::BadKey,
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
