//! Secrets with certificates, keys and authorities.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey as CheckedKey};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::model::{Authorities, CertifiedKey, Credential};

/// Keys of a certificate and of its key, the form that is preferred first: the generic one, and that of type `kubernetes.io/tls`.
const PAIRS: [(&str, &str); 2] = [("cert", "key"), ("tls.crt", "tls.key")];
/// Keys of authorities.
const AUTHORITIES: [&str; 2] = ["cacert", "ca.crt"];
/// The key of what authorities have revoked.
const REVOKED: &str = "ca.crl";
/// The key of an OCSP response.
const STAPLE: &str = "tls.ocsp-staple";

/// Why a part of a Secret is of no use. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It has nothing that the mesh looks for.
    #[error("data: has neither cert and key, nor tls.crt and tls.key, nor cacert, nor ca.crt")]
    Empty,
    /// The certificate can't be read.
    #[error("data[{0}]: no certificates in PEM")]
    Certificate(&'static str),
    /// The key can't be read.
    #[error("data[{0}]: no private key in PEM")]
    Key(&'static str),
    /// The proxy would refuse the two.
    #[error("data[{key}]: is not the key of the certificate in {certificate}")]
    Mismatch {
        /// The certificate's entry.
        certificate: &'static str,
        /// The key's entry.
        key: &'static str,
    },
    /// The list of what is revoked can't be read.
    #[error("data[{REVOKED}]: no list of revoked certificates in PEM")]
    Revoked,
}

/// What a Secret holds, and what is wrong with its other parts.
pub fn credential(object: &Secret) -> Credential {
    let empty = BTreeMap::new();
    let data = object.data.as_ref().unwrap_or(&empty);
    let mut problems = Vec::new();
    let mut usable = |part: Result<_, CredentialError>| part.map_err(|error| problems.push(error)).ok();
    let certificate = certified_key(data).and_then(|part| usable(part.map(Part::Certificate)));
    let authorities = authorities(data).and_then(|part| usable(part.map(Part::Authorities)));
    let mut credential = Credential::default();
    for part in [certificate, authorities].into_iter().flatten() {
        match part {
            Part::Certificate(pair) => credential.certificate = Some(pair),
            Part::Authorities(authorities) => credential.authorities = Some(authorities),
        }
    }
    if credential == Credential::default() && problems.is_empty() {
        problems.push(CredentialError::Empty);
    }
    credential.problems = problems.iter().map(|problem| problem.to_string().into()).collect();
    credential
}

enum Part {
    Certificate(CertifiedKey),
    Authorities(Authorities),
}

type Data = BTreeMap<String, ByteString>;

/// An entry that is there and not empty.
fn entry<'a>(data: &'a Data, key: &str) -> Option<&'a [u8]> {
    data.get(key).map(|bytes| &*bytes.0).filter(|bytes| !bytes.is_empty())
}

fn certified_key(data: &Data) -> Option<Result<CertifiedKey, CredentialError>> {
    let (names, chain, key) = PAIRS.iter().find_map(|names| Some((*names, entry(data, names.0)?, entry(data, names.1)?)))?;
    let staple = entry(data, STAPLE).map(Arc::from);
    Some(check_pair(names, chain, key).map(|()| CertifiedKey { chain: chain.into(), key: key.into(), ocsp_staple: staple }))
}

fn check_pair((certificate, key): (&'static str, &'static str), chain: &[u8], key_pem: &[u8]) -> Result<(), CredentialError> {
    let chain = certificates(chain).ok_or(CredentialError::Certificate(certificate))?;
    let private = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| CredentialError::Key(key))?;
    // Kinds of keys that are not known here are left to the proxy.
    let checked = CheckedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    match checked {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(CredentialError::Mismatch { certificate, key }),
        _ => Ok(()),
    }
}

fn authorities(data: &Data) -> Option<Result<Authorities, CredentialError>> {
    let (name, roots) = AUTHORITIES.iter().find_map(|name| Some((*name, entry(data, name)?)))?;
    Some(check_authorities(name, roots, entry(data, REVOKED)))
}

fn check_authorities(name: &'static str, roots: &[u8], revoked: Option<&[u8]>) -> Result<Authorities, CredentialError> {
    certificates(roots).ok_or(CredentialError::Certificate(name))?;
    let lists = revoked.map(|revoked| CertificateRevocationListDer::pem_slice_iter(revoked).collect::<Result<Vec<_>, pem::Error>>());
    if lists.is_some_and(|lists| !lists.is_ok_and(|lists| !lists.is_empty())) {
        return Err(CredentialError::Revoked);
    }
    Ok(Authorities { roots: roots.into(), revoked: revoked.map(Arc::from) })
}

/// The certificates of a PEM text, of which there must be one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, pem::Error>>().ok()?;
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;
    use rcgen::KeyPair;

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let data = entries.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn problems(entries: &[(&str, &str)]) -> Vec<String> {
        credential(&secret(entries)).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_forms_of_secrets_are_read_and_the_generic_one_is_preferred() {
        let ca = TestCa::new("root");
        let key = KeyPair::generate().unwrap();
        let (chain, key_pem, root) = (ca.sign(&key, &[], &["a.example"]).pem(), key.serialize_pem(), ca.pem());
        for (names, authority) in [(("tls.crt", "tls.key"), "ca.crt"), (("cert", "key"), "cacert")] {
            let read = credential(&secret(&[(names.0, &chain), (names.1, &key_pem), (authority, &root)]));
            assert!(read.problems.is_empty(), "{:?}", read.problems);
            assert_eq!(&*read.certificate.unwrap().key, key_pem.as_bytes());
            assert_eq!(&*read.authorities.unwrap().roots, root.as_bytes());
        }
        let both = [("tls.crt", "broken"), ("tls.key", "broken"), ("cert", chain.as_str()), ("key", key_pem.as_str())];
        assert!(credential(&secret(&both)).certificate.is_some());
    }

    #[test]
    fn what_is_wrong_is_told_without_its_content_and_does_not_spoil_the_rest() {
        let ca = TestCa::new("root");
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap().serialize_pem());
        let (chain, key, root) = (ca.sign(&key, &[], &["a.example"]).pem(), key.serialize_pem(), ca.pem());
        assert_eq!(problems(&[("tls.crt", "no PEM"), ("tls.key", &key)]), ["data[tls.crt]: no certificates in PEM"]);
        assert_eq!(problems(&[("cert", &chain), ("key", "no PEM")]), ["data[key]: no private key in PEM"]);
        assert_eq!(problems(&[("cert", &chain), ("key", &other)]), ["data[key]: is not the key of the certificate in cert"]);
        assert_eq!(problems(&[("cacert", &root), ("ca.crl", "no PEM")]), ["data[ca.crl]: no list of revoked certificates in PEM"]);
        assert_eq!(problems(&[("password", "x")]).len(), 1);
        let read = credential(&secret(&[("cert", &chain), ("key", &other), ("cacert", &root)]));
        assert_eq!((read.certificate.is_none(), read.authorities.is_some(), read.problems.len()), (true, true, 1));
    }
}
