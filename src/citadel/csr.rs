//! Certificate requests: what is taken from them (the public key), and what makes them refused.
//!
//! Subject, names, extensions and whatever else a request asks for are not even looked at.

use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{
        OID_EC_P256, OID_NIST_EC_P384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
    },
    prelude::FromDer,
    public_key::PublicKey,
};

/// Why a request is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum CsrError {
    /// Not PEM, or PEM of something else.
    #[error("csr: not a certificate request in PEM")]
    Pem,
    /// PEM of a request, but not its encoding.
    #[error("csr: the request's DER can't be read")]
    Encoding,
    /// SHA-1 and other things of the past.
    #[error("csr: signature algorithm {0} is not accepted; use ECDSA with SHA-256 or SHA-384, RSA with SHA-2, or Ed25519")]
    SignatureAlgorithm(String),
    /// The sender does not have the private key.
    #[error("csr: the request is not signed by the key that it holds")]
    Signature,
    /// A small RSA key.
    #[error("csr: RSA key of {0} bits; at least 2048 are needed")]
    WeakRsa(usize),
    /// Another curve or kind of key.
    #[error("csr: this kind of key is not accepted; use P-256, P-384, RSA of 2048 bits or more, or Ed25519")]
    Key,
}

/// More than any honest request has, so that parsing costs little whatever is sent.
const MAX_PEM: usize = 16 * 1024;

/// The public key of a request that its sender holds the private key of.
pub(super) fn public_key(pem: &str) -> Result<SubjectPublicKeyInfo, CsrError> {
    if pem.len() > MAX_PEM {
        return Err(CsrError::Pem);
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| CsrError::Pem)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| CsrError::Encoding)?;
    if !rest.is_empty() {
        return Err(CsrError::Encoding);
    }
    let key = &request.certification_request_info.subject_pki;
    check_key(key)?;
    check_algorithm(&request.signature_algorithm.algorithm)?;
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| CsrError::Key)
}

fn check_key(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<(), CsrError> {
    match key.parsed().map_err(|_| CsrError::Key)? {
        PublicKey::RSA(rsa) if rsa.key_size() >= 2048 => Ok(()),
        PublicKey::RSA(rsa) => Err(CsrError::WeakRsa(rsa.key_size())),
        PublicKey::EC(_) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            let accepted = curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384);
            accepted.then_some(()).ok_or(CsrError::Key)
        }
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => Ok(()),
        _ => Err(CsrError::Key),
    }
}

fn check_algorithm(algorithm: &Oid<'_>) -> Result<(), CsrError> {
    let accepted = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ED25519,
    ];
    accepted.contains(algorithm).then_some(()).ok_or_else(|| CsrError::SignatureAlgorithm(algorithm.to_id_string()))
}
