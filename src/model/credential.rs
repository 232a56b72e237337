//! Certificates, keys and authorities as Secrets hold them.

use std::{fmt, sync::Arc};

/// What the names of Secrets that hold authorities alone end in.
pub const AUTHORITIES_SUFFIX: &str = "-cacert";

/// A Secret, by its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What proxies may use of a Secret. A part that it does not hold, or that is of no use, is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// A certificate with its key.
    pub certificate: Option<CertifiedKey>,
    /// Whom to trust.
    pub authorities: Option<Authorities>,
    /// What is wrong with parts that are absent, without a word of what is in them.
    pub problems: Vec<Box<str>>,
}

/// A certificate and its key. Its debug form shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct CertifiedKey {
    /// The certificate and those that lead to its authority, in PEM.
    pub chain: Arc<[u8]>,
    /// The key, in PEM.
    pub key: Arc<[u8]>,
    /// The authority's word, as OCSP has it, that the certificate is not revoked.
    pub ocsp_staple: Option<Arc<[u8]>>,
}

/// Authorities whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// Their certificates, in PEM.
    pub roots: Arc<[u8]>,
    /// What they have revoked, in PEM.
    pub revoked: Option<Arc<[u8]>>,
}

// === impl SecretKey ===

impl SecretKey {
    /// The Secret of that name in that namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

// === impl CertifiedKey ===

/// Whoever writes a value that holds one into a log must not write the key.
impl fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertifiedKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_no_debug_form() {
        let pair = CertifiedKey { chain: Arc::from(*b"chain"), key: Arc::from(*b"key"), ocsp_staple: None };
        let credential = Credential { certificate: Some(pair), ..Credential::default() };
        assert_eq!(format!("{credential:?}"), "Credential { certificate: Some(CertifiedKey { .. }), authorities: None, problems: [] }");
    }
}
