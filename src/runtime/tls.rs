//! TLS 1.3, with aws-lc as the one provider: server and client configurations, and who the peer of a connection is.

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};
use x509_parser::extensions::GeneralName;

use super::WorkloadCert;
use crate::model::SpiffeId;

/// Whether a server asks its clients for certificates.
#[derive(Clone, Copy, Debug)]
pub enum ClientAuth<'a> {
    /// It does not: clients prove themselves by other means.
    None,
    /// Every client must have a certificate that chains to one of these roots.
    Required(&'a [CertificateDer<'static>]),
}

/// Who is at the other end of a connection; an extension of each request that came over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from; none on a Unix socket.
    pub address: Option<SocketAddr>,
    /// The verified identity; always present behind [`super::Security::Mutual`], never without client certificates.
    pub identity: Option<SpiffeId>,
}

/// Why a TLS configuration could not be made, or a certificate not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM.
    #[error("not a PEM certificate")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// PEM, but without a certificate.
    #[error("no certificate in the PEM text")]
    Empty,
    /// Refused by rustls: the key does not match its certificate, the chain does not verify.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The roots can't be used to verify clients.
    #[error("the roots can't be used to verify clients")]
    Roots(#[from] VerifierBuilderError),
    /// Not an X.509 certificate.
    #[error("not an X.509 certificate: {0}")]
    Certificate(String),
}

// === impl Peer ===

impl Peer {
    /// The identity that a verified certificate states: its only URI name, if that is one of the mesh's identities.
    pub(super) fn identity_of(certificate: &CertificateDer<'_>) -> Option<SpiffeId> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        // A certificate with two URI names is no SPIFFE SVID: whoever reads the first and whoever reads the last would disagree.
        match (uris.next(), uris.next()) {
            (Some(uri), None) => uri.parse().ok(),
            _ => None,
        }
    }
}

/// The cryptography of every connection.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Every certificate of a PEM text.
///
/// # Errors
/// When the text is broken or holds none.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(TlsError::Empty) } else { Ok(certificates) }
}

/// A server that shows `chain`, and offers HTTP/2 before HTTP/1.1.
///
/// # Errors
/// When key and certificate do not belong together, or the roots can't be used.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: ClientAuth<'_>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Required(roots) => builder.with_client_cert_verifier(verifier(roots)?),
    };
    Ok(finish(builder.with_single_cert(chain, key)?))
}

/// A server without client certificates whose own certificate is chosen by `resolver` for each connection, so that it can be renewed
/// under load.
///
/// # Errors
/// When the provider has no TLS 1.3.
pub fn resolver_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    Ok(finish(builder.with_no_client_auth().with_cert_resolver(resolver)))
}

fn finish(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would skip the check of the client's certificate, which may have expired or lost its root since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// A client that trusts `roots` and nothing else, and shows `certificate` to servers that ask for one.
///
/// # Errors
/// When a root is no certificate, or the certificate can't be used.
pub fn client_config(roots: &[CertificateDer<'static>], certificate: Option<&WorkloadCert>) -> Result<ClientConfig, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?.with_root_certificates(root_store(roots)?);
    let config = match certificate {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key())?,
        None => builder.with_no_client_auth(),
    };
    Ok(finish_client(config))
}

pub(super) fn finish_client(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Connections are rare and long: a cache of sessions would only hold memory.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// The single certificates of a PEM text, each as PEM, in their order.
pub fn certificate_blocks(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks.map(|block| format!("{}\n", &block[block.find("-----BEGIN").unwrap_or(0)..])).collect()
}

/// Whether `chain` is a client certificate that chains to `roots` and holds now.
///
/// # Errors
/// When it is not, with the reason.
pub fn verify_chain(chain: &[CertificateDer<'static>], roots: &[CertificateDer<'static>]) -> Result<(), TlsError> {
    let (leaf, intermediates) = chain.split_first().ok_or(TlsError::Empty)?;
    verifier(roots)?.verify_client_cert(leaf, intermediates, UnixTime::now())?;
    Ok(())
}

fn verifier(roots: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    Ok(WebPkiClientVerifier::builder_with_provider(root_store(roots)?, provider()).build()?)
}

pub(super) fn root_store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    Ok(Arc::new(store))
}
