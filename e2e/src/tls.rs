//! Asking over HTTPS, as a visitor from outside does, and seeing who answers.

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, header::HOST};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than any answer of a healthy mesh.
const LIMIT: Duration = Duration::from_secs(10);

/// A client of one server by TLS, a connection for each request. Clones share its settings.
#[derive(Clone)]
pub struct SecureVisitor {
    address: String,
    host: String,
    connector: TlsConnector,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureAnswer {
    /// The status code.
    pub status: u16,
    /// The certificate that the server showed.
    pub certificate: CertificateDer<'static>,
}

// === impl SecureVisitor ===

impl SecureVisitor {
    /// A visitor of `host` at `address` (`HOST:PORT`), who believes certificates of this authority alone.
    ///
    /// # Errors
    /// When the authority can't be one.
    pub fn new(address: &str, host: &str, authority: CertificateDer<'static>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { address: address.to_owned(), host: host.to_owned(), connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The answer to a GET, whatever its status.
    ///
    /// # Errors
    /// When there is none, or the server does not prove to be the host.
    pub async fn get(&self, path: &str) -> anyhow::Result<SecureAnswer> {
        let answer = tokio::time::timeout(LIMIT, self.ask(path)).await;
        answer.with_context(|| format!("https://{}{path}: no answer within {LIMIT:?}", self.host))?
    }

    async fn ask(&self, path: &str) -> anyhow::Result<SecureAnswer> {
        let stream = TcpStream::connect(&self.address).await.with_context(|| format!("no connection to {}", self.address))?;
        let stream = self.connector.connect(ServerName::try_from(self.host.clone())?, stream).await.context("no TLS")?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().context("the server shows no certificate")?.clone().into_owned();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::get(path).header(HOST, &self.host).body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await.context("no answer")?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await.context("the answer broke off")?;
        driver.abort();
        Ok(SecureAnswer { status, certificate })
    }
}
