//! A client that knows its server by the identity in its certificate. Workloads' certificates bear no DNS names, so the name that was
//! looked up says nothing; and who can answer for that name still does not have the identity.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

use super::tls::{Peer, TlsError, finish_client, provider, root_store};
use crate::model::SpiffeId;
use crate::runtime::WorkloadCert;

/// A client that shows `own`, and speaks to nobody but `server`, by a certificate under the same roots.
///
/// # Errors
/// When a root is no certificate, or the own certificate can't be used.
pub fn client_config_for(own: &WorkloadCert, server: SpiffeId) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(IdentityVerifier { roots: root_store(&own.roots)?, provider: provider(), server });
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(finish_client(builder.with_client_auth_cert(own.chain.clone(), own.key())?))
}

#[derive(Debug)]
struct IdentityVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    server: SpiffeId,
}

// === impl IdentityVerifier ===

impl ServerCertVerifier for IdentityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, intermediates, now, algorithms)?;
        match Peer::identity_of(end_entity) {
            Some(identity) if identity == self.server => Ok(ServerCertVerified::assertion()),
            identity => {
                let found = identity.map_or_else(|| "no identity of the mesh".to_owned(), |identity| identity.to_string());
                tracing::warn!(expected = %self.server, found, "the server is another one");
                Err(CertificateError::NotValidForName.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    #[test]
    fn a_server_is_known_by_its_identity_and_its_root_and_by_nothing_else() {
        let (ca, other) = (TestCa::new("mesh"), TestCa::new("other"));
        let galley = SpiffeId::new("cluster.local", "istio-system", "istio-galley");
        let verifier = IdentityVerifier { roots: root_store(&[ca.root()]).unwrap(), provider: provider(), server: galley.clone() };
        let is_taken = |ca: &TestCa, identity: &SpiffeId, names: &[&str]| {
            let certificate = ca.workload(identity, names);
            let name = ServerName::try_from("istio-galley.istio-system.svc").unwrap();
            verifier.verify_server_cert(&certificate.chain[0], &[], &name, &[], UnixTime::now()).is_ok()
        };
        assert!(is_taken(&ca, &galley, &[]), "its certificate needs no DNS name");
        let web = SpiffeId::new("cluster.local", "shop", "web");
        assert!(!is_taken(&ca, &web, &["istio-galley.istio-system.svc"]), "a DNS name is no identity");
        assert!(!is_taken(&ca, &SpiffeId::new("other.local", "istio-system", "istio-galley"), &[]));
        assert!(!is_taken(&other, &galley, &[]), "another root");
    }
}
