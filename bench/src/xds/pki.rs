//! The mesh's certificate authority: it signs the simulated proxies' certificates and, by the API that citadel serves, pilot's.

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::{
    RecvStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::wire::{Messages, framed};

/// The name that the servers of this benchmark show.
pub(super) const SERVER: &str = "istio-pilot.istio-system.svc";
/// Who pilot is.
const PILOT: &str = "spiffe://cluster.local/ns/istio-system/sa/istio-pilot";
const PATH: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const HTTP2: &[u8] = b"h2";

/// A root and what it trusts.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// `IstioCertificateRequest`, as far as it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct CertificateRequest {
    #[prost(string, tag = "1")]
    csr: String,
}

/// `IstioCertificateResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct CertificateResponse {
    #[prost(string, repeated, tag = "1")]
    cert_chain: Vec<String>,
}

// === impl Authority ===

impl Authority {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ferromesh-bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone())?;
        Ok(Self { issuer, roots: Arc::new(roots) })
    }

    /// The root.
    pub(super) fn root(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// The root in PEM.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate with a key of its own.
    pub(super) fn identity(&self, names: Vec<SanType>) -> anyhow::Result<Identity> {
        let (key, params) = (KeyPair::generate()?, with_names(names));
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { chain: vec![certificate.der().clone()], key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }

    /// The TLS of a proxy with that SPIFFE ID.
    pub(super) fn client(&self, spiffe: &str) -> anyhow::Result<Arc<ClientConfig>> {
        let Identity { chain, key } = self.identity(vec![SanType::URI(spiffe.try_into()?)])?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(&[&TLS13])?;
        let mut config = builder.with_root_certificates(self.roots.clone()).with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Serves the API by which pilot gets its certificate; returns its address. Runs as long as the runtime.
    pub(super) async fn serve(self: &Arc<Self>) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = self.identity(vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))])?;
        let config = server_config(own, WebPkiClientVerifier::no_client_auth())?;
        let (tls, authority) = (TlsAcceptor::from(Arc::new(config)), self.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, authority) = (tls.clone(), authority.clone());
                tokio::spawn(async move { report(authority.answer(tls, stream).await) });
            }
        });
        Ok(address)
    }

    /// Answers the requests of one connection.
    async fn answer(self: Arc<Self>, tls: TlsAcceptor, stream: TcpStream) -> anyhow::Result<()> {
        let mut connection = server::handshake(tls.accept(stream).await?).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted?;
            let authority = self.clone();
            tokio::spawn(async move { report(authority.certify(request, respond).await) });
        }
        Ok(())
    }

    async fn certify(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> anyhow::Result<()> {
        ensure!(request.uri().path() == PATH, "{} is not served", request.uri().path());
        let (mut body, mut messages) = (request.into_body(), Messages::default());
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            messages.push(&chunk);
        }
        let request = CertificateRequest::decode(messages.next()?.context("no message")?)?;
        let answer = CertificateResponse { cert_chain: self.sign(&request.csr)? };
        let response = Response::builder().header("content-type", "application/grpc").body(())?;
        let mut body = respond.send_response(response, false)?;
        body.send_data(framed(&answer), false)?;
        body.send_trailers(HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]))?;
        Ok(())
    }

    /// Pilot's certificate for the key of a request, and the root. Whoever asks is pilot: nobody else knows the port.
    fn sign(&self, csr: &str) -> anyhow::Result<Vec<String>> {
        let mut request = CertificateSigningRequestParams::from_pem(csr).context("malformed request")?;
        request.params = with_names(vec![SanType::URI(PILOT.try_into()?), SanType::DnsName(SERVER.try_into()?)]);
        Ok(vec![request.signed_by(&self.issuer)?.pem(), self.pem()])
    }
}

/// The TLS of a server that demands a certificate of this root.
pub(super) fn mutual(own: Identity, root: CertificateDer<'static>) -> anyhow::Result<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider())).build()?;
    server_config(own, verifier)
}

fn server_config(own: Identity, clients: Arc<dyn ClientCertVerifier>) -> anyhow::Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_client_cert_verifier(clients).with_single_cert(own.chain, own.key)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Pilot asks again when a request fails; people may want to know why.
fn report(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("ferromesh-bench: a request for a certificate failed: {error:#}");
    }
}

fn with_names(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use h2::client;
    use rcgen::PublicKeyData;
    use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier};
    use rustls_pki_types::pem::PemObject;
    use tokio_rustls::TlsConnector;

    /// Asks as pilot does, and returns the chain.
    async fn ask(address: SocketAddr, authority: &Authority, csr: String) -> anyhow::Result<Vec<String>> {
        let tls = TlsConnector::from(authority.client("spiffe://cluster.local/ns/a/sa/b")?);
        let stream = tls.connect("127.0.0.1".try_into()?, TcpStream::connect(address).await?).await?;
        let (mut sender, connection) = client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let request = Request::post(format!("https://{address}{PATH}")).body(())?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(framed(&CertificateRequest { csr }), true)?;
        let (mut body, mut messages) = (response.await?.into_body(), Messages::default());
        while let Some(chunk) = body.data().await {
            messages.push(&chunk?);
        }
        let trailers = body.trailers().await?.context("no trailers")?;
        ensure!(trailers["grpc-status"] == "0");
        driver.abort();
        Ok(CertificateResponse::decode(messages.next()?.context("no message")?)?.cert_chain)
    }

    #[tokio::test]
    async fn pilot_gets_a_certificate_for_its_own_key() {
        let authority = Arc::new(Authority::new().unwrap());
        let address = authority.serve().await.unwrap();
        let key = KeyPair::generate().unwrap();
        // As pilot asks: with a request that names nobody.
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let chain = ask(address, &authority, csr).await.unwrap();
        assert_eq!((chain.len(), &chain[1]), (2, &authority.pem()));
        let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
        let contains = |part: &[u8]| leaf.windows(part.len()).any(|window| window == part);
        assert!(contains(key.der_bytes()) && contains(PILOT.as_bytes()) && contains(SERVER.as_bytes()));
        // It chains to the root under the name that proxies expect.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(authority.roots.clone(), provider).build().unwrap();
        let now = rustls_pki_types::UnixTime::now();
        verifier.verify_server_cert(&leaf, &[], &SERVER.try_into().unwrap(), &[], now).unwrap();
    }

    #[test]
    fn nonsense_gets_no_certificate() {
        let authority = Authority::new().unwrap();
        assert!(authority.sign("no request").is_err());
    }
}
