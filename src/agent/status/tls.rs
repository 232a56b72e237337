//! TLS towards the pod's own application, whose certificate nobody can verify: the kubelet does not, either.

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::agent::HttpError;
use crate::runtime::provider;

/// Takes any certificate. Never to be used beyond the pod.
#[derive(Debug)]
struct AnyCertificate;

/// Speaks TLS over a connection to the application.
///
/// # Errors
/// When the application does not.
pub(super) async fn unverified(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, HttpError> {
    static CONFIG: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| config().ok().map(Arc::new));
    let error = |text: &str| HttpError::Tls(std::io::Error::other(text.to_owned()));
    let config = CONFIG.clone().ok_or_else(|| error("no TLS provider"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| error("the host is no name for TLS"))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(HttpError::Tls)
}

fn config() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
