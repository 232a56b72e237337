//! A workload's certificate, its key and the roots that it trusts, as one value.

use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::IdentityError;
use crate::model::SpiffeId;
use crate::runtime::certificates_from_pem;
use crate::runtime::tls::{Peer, certificate_blocks, verify_chain};

/// Everything that TLS needs to speak for a workload. Immutable; a renewal makes a new one.
#[derive(Clone)]
pub struct WorkloadCert {
    /// The leaf and its intermediates, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The same in PEM.
    pub chain_pem: String,
    /// The private key in PEM (PKCS#8). Secret.
    pub key_pem: String,
    /// The mesh's trusted roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// The same in PEM.
    pub roots_pem: String,
    /// The identity that the certificate states.
    pub identity: SpiffeId,
    /// When the certificate was received.
    pub issued_at: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
    key_der: Vec<u8>,
}

// === impl WorkloadCert ===

impl WorkloadCert {
    /// Checks what a CA answered for `key` and wraps it up.
    ///
    /// # Errors
    /// When the answer is not a usable certificate for that key under the trusted roots.
    pub fn from_answer(chain_pems: &[String], key: &KeyPair, roots_pem: &[u8], now: SystemTime) -> Result<Self, IdentityError> {
        let roots = certificates_from_pem(roots_pem).map_err(IdentityError::Root)?;
        let answer = chain_pems.join("\n");
        let mut chain = certificates_from_pem(answer.as_bytes()).map_err(IdentityError::Answer)?;
        // TLS peers have the root already; sending it only costs bytes.
        if chain.len() > 1 && chain.last().is_some_and(|last| roots.contains(last)) {
            chain.pop();
        }
        verify_chain(&chain, &roots).map_err(IdentityError::Answer)?;
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|_| IdentityError::Unreadable)?;
        if leaf.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(key) {
            return Err(IdentityError::ForeignKey);
        }
        let not_after = u64::try_from(leaf.validity().not_after.timestamp()).map_err(|_| IdentityError::Unreadable)?;
        let identity = Peer::identity_of(&chain[0]).ok_or(IdentityError::NoIdentity)?;
        Ok(Self {
            chain_pem: certificate_blocks(&answer).into_iter().take(chain.len()).collect(),
            chain,
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
            roots_pem: String::from_utf8_lossy(roots_pem).into_owned(),
            roots,
            identity,
            issued_at: now,
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(not_after),
        })
    }

    /// The same certificate under other roots.
    ///
    /// # Errors
    /// When the text holds no certificates.
    pub(super) fn with_roots(&self, roots_pem: &[u8]) -> Result<Self, IdentityError> {
        let roots = certificates_from_pem(roots_pem).map_err(IdentityError::Root)?;
        Ok(Self { roots, roots_pem: String::from_utf8_lossy(roots_pem).into_owned(), ..self.clone() })
    }

    /// Whether the certificate chains to its roots.
    pub(super) fn is_trusted(&self) -> bool {
        verify_chain(&self.chain, &self.roots).is_ok()
    }

    /// The private key, for rustls.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }
}

/// Without the key.
impl fmt::Debug for WorkloadCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadCert").field("identity", &self.identity).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}
