//! Clients and servers of TLS on loopback.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{Json, Router};
use http_body_util::Empty;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use k8s_openapi::ByteString;
use rcgen::{KeyPair, PublicKeyData};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    TestCa,
    http::{Answer, read},
};

/// TLS before 1.3.
static OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A client on loopback.
#[derive(Clone)]
pub(crate) struct TlsClient {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    protocol: &'static str,
}

/// What a server showed, and answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) answer: Answer,
    /// The server's certificate.
    pub(crate) certificate: CertificateDer<'static>,
}

// === impl Identity ===

impl Identity {
    /// Of those DNS names or URIs.
    pub(crate) fn of(ca: &TestCa, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let (uris, dns_names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        Self { chain: ca.sign(&key, &uris, &dns_names).pem(), key: key.serialize_pem() }
    }

    /// The same key in another certificate.
    pub(crate) fn renewed(&self, ca: &TestCa, names: &[&str]) -> Self {
        let key = KeyPair::from_pem(&self.key).unwrap();
        Self { chain: ca.sign(&key, &[], names).pem(), key: self.key.clone() }
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }

    /// The hash of the public key, as configurations name it: base64 of SHA-256 of the key with its kind.
    pub(crate) fn spki(&self) -> String {
        let key = KeyPair::from_pem(&self.key).unwrap();
        let hash = ByteString(Sha256::digest(key.subject_public_key_info()).to_vec());
        serde_json::to_value(hash).unwrap().as_str().unwrap().to_owned()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

// === impl TlsClient ===

impl TlsClient {
    /// One that trusts that authority alone.
    pub(crate) fn trusting(ca: &TestCa) -> Self {
        Self { roots: vec![ca.root()], identity: None, versions: rustls::ALL_VERSIONS, protocol: "http/1.1" }
    }

    /// One that shows a certificate.
    pub(crate) fn showing(&self, identity: &Identity) -> Self {
        Self { identity: Some(identity.clone()), ..self.clone() }
    }

    /// One that knows no newer TLS than 1.2.
    pub(crate) fn old(&self) -> Self {
        Self { versions: OLD, ..self.clone() }
    }

    /// One that offers that protocol name.
    pub(crate) fn offering(&self, protocol: &'static str) -> Self {
        Self { protocol, ..self.clone() }
    }

    /// Asks for `/` of a host by a connection for the server name of it.
    ///
    /// # Errors
    /// When there is no answer, with what TLS or HTTP says about it.
    pub(crate) async fn get(&self, port: u16, server_name: &str) -> Result<Told, String> {
        self.get_of(port, server_name, server_name).await
    }

    /// The same for another host than the connection's.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn get_of(&self, port: u16, server_name: &str, host: &str) -> Result<Told, String> {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        let tls = TlsConnector::from(Arc::new(self.config())).connect(name, tcp).await.map_err(|error| error.to_string())?;
        let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let request = http::Request::get("/").header("host", host).body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await;
        let told = match answer {
            Ok(answer) => Ok(Told { answer: read(answer).await, certificate }),
            Err(error) => Err(format!("{error:?}")),
        };
        driver.abort();
        told
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        self.roots.iter().for_each(|root| roots.add(root.clone()).unwrap());
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(self.versions);
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_auth_cert(vec![identity.certificate()], identity.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![self.protocol.as_bytes().to_vec()];
        config
    }
}

/// An upstream that speaks HTTP in TLS, and answers with its name.
pub(crate) struct TlsEcho {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

impl TlsEcho {
    pub(crate) async fn start(name: &'static str, identity: &Identity) -> Self {
        Self::serve(name, identity, WebPkiClientVerifier::no_client_auth()).await
    }

    /// One whose clients must show a certificate of that authority.
    pub(crate) async fn demanding(name: &'static str, identity: &Identity, ca: &TestCa) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.root()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        Self::serve(name, identity, verifier.build().unwrap()).await
    }

    async fn serve(name: &'static str, identity: &Identity, clients: Arc<dyn ClientCertVerifier>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
        let config =
            builder.unwrap().with_client_cert_verifier(clients).with_single_cert(vec![identity.certificate()], identity.key()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let router = Router::new().fallback(async move || Json(json!({"name": name})));
        let serving = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
                    }
                });
            }
        });
        Self { port, serving }
    }
}

impl Drop for TlsEcho {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
