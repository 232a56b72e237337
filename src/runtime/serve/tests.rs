//! Listeners, by real sockets on loopback.

use axum::{Extension, Router, body::Body, routing::get};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::{Limits, Listener, Security};
use crate::model::SpiffeId;
use crate::runtime::{Peer, Shutdown, TlsError, Trigger, WorkloadCert, client_config, provider};
use crate::testing::TestCa;

const SERVER: &str = "istio-pilot.istio-system.svc";

struct Server {
    address: SocketAddr,
    trigger: Trigger,
    task: JoinHandle<Result<(), TlsError>>,
}

async fn serve(router: Router, security: Security, limits: Limits) -> Server {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::channel();
    Server { address, trigger, task: tokio::spawn(listener.serve(router, security, limits, shutdown)) }
}

/// Answers who asks.
fn who() -> Router {
    let name = async |Extension(peer): Extension<Peer>| peer.identity.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    Router::new().route("/", get(name))
}

fn id(name: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", name)
}

fn pilot(ca: &TestCa) -> Arc<WorkloadCert> {
    ca.workload(&SpiffeId::new("cluster.local", "istio-system", "istio-pilot"), &[SERVER])
}

fn client(ca: &TestCa, own: Option<&WorkloadCert>) -> ClientConfig {
    client_config(&[ca.root()], own).unwrap()
}

/// `GET /` by HTTP/2 over TLS.
async fn ask(address: SocketAddr, config: ClientConfig) -> Result<String, Box<dyn Error>> {
    let tcp = TcpStream::connect(address).await?;
    let tls = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(SERVER)?, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(http::Request::get("http://pilot/").body(Body::empty())?).await;
    let body = answer?.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok(String::from_utf8(body.to_vec())?)
}

#[tokio::test]
async fn mutual_tls_tells_the_handler_who_the_peer_is() {
    let ca = TestCa::new("mesh");
    let (_source, certificates) = watch::channel(Some(pilot(&ca)));
    let server = serve(who(), Security::Mutual(certificates), Limits::default()).await;
    let answer = ask(server.address, client(&ca, Some(&*ca.workload(&id("web"), &[])))).await.unwrap();
    assert_eq!(answer, "spiffe://cluster.local/ns/shop/sa/web");
}

#[tokio::test]
async fn mutual_tls_refuses_strangers() {
    let (ca, other) = (TestCa::new("mesh"), TestCa::new("other"));
    let (_source, certificates) = watch::channel(Some(pilot(&ca)));
    let server = serve(who(), Security::Mutual(certificates), Limits::default()).await;
    assert!(ask(server.address, client(&ca, None)).await.is_err(), "no certificate");
    assert!(ask(server.address, client(&ca, Some(&*other.workload(&id("web"), &[])))).await.is_err(), "another root");
    for uris in [vec![], vec!["https://example.com"], vec!["spiffe://td/ns/a/sa/b", "spiffe://td/ns/c/sa/d"]] {
        let key = KeyPair::generate().unwrap();
        let leaf = ca.sign(&key, &uris, &["web.shop"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.root()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        assert!(ask(server.address, config).await.is_err(), "{uris:?} states no identity");
    }
}

#[tokio::test]
async fn a_renewed_certificate_and_root_hold_for_the_next_connection() {
    let (old, new) = (TestCa::new("old"), TestCa::new("new"));
    let (source, certificates) = watch::channel(None);
    let server = serve(who(), Security::Mutual(certificates), Limits::default()).await;
    source.send_replace(Some(pilot(&old)));
    ask(server.address, client(&old, Some(&*old.workload(&id("web"), &[])))).await.unwrap();
    source.send_replace(Some(pilot(&new)));
    ask(server.address, client(&new, Some(&*new.workload(&id("web"), &[])))).await.unwrap();
    assert!(ask(server.address, client(&new, Some(&*old.workload(&id("web"), &[])))).await.is_err(), "the old root is no root any more");
}

#[tokio::test]
async fn requests_in_flight_finish_and_new_connections_do_not_begin() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_entered, handler_release) = (entered.clone(), release.clone());
    let slow = async move || {
        handler_entered.notify_one();
        handler_release.notified().await;
        "done"
    };
    let server = serve(Router::new().route("/", get(slow)), Security::Plain, Limits::default()).await;
    let address = server.address;
    let request = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    entered.notified().await;
    server.trigger.request();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    assert!(request.await.unwrap().ends_with("done"));
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let ca = TestCa::new("mesh");
    let (_source, certificates) = watch::channel(Some(pilot(&ca)));
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    for security in [Security::Plain, Security::PlainHttp2, Security::Mutual(certificates)] {
        let server = serve(who(), security, limits).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("dropped");
    }
}

/// Who has been answered keeps his connection for longer than a handshake may take: it is the client who ends it.
#[tokio::test]
async fn a_connection_that_rests_is_there_for_the_next_request() {
    let short = Duration::from_millis(50);
    let limits = Limits { handshake: short, ..Limits::default() };
    let server = serve(who(), Security::Plain, limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let answered = async |stream: &mut TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: mesh\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{:?}", &answer[..length]);
    };
    answered(&mut stream).await;
    let end = tokio::time::timeout(4 * short, stream.read(&mut [0])).await;
    assert!(end.is_err(), "the server ends it: {end:?}");
    answered(&mut stream).await;

    let server = serve(who(), Security::Plain, Limits { idle: short, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    answered(&mut stream).await;
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0])).await;
    assert!(matches!(end, Ok(Ok(0))), "but not for ever: {end:?}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let ca = TestCa::new("mesh");
    let (_source, certificates) = watch::channel(Some(pilot(&ca)));
    let server = serve(who(), Security::Mutual(certificates), Limits { connections: 1, ..Limits::default() }).await;
    let own = ca.workload(&id("web"), &[]);
    let holder = TcpStream::connect(server.address).await.unwrap();
    let waiting = ask(server.address, client(&ca, Some(&*own)));
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "answered although the only slot is taken");
    drop(holder);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_replaces_a_stale_one_and_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    std::fs::write(&path, "stale").unwrap();
    let listener = Listener::bind_unix(&path).unwrap();
    let (trigger, shutdown) = Shutdown::channel();
    let task = tokio::spawn(listener.serve(who(), Security::PlainHttp2, Limits::default(), shutdown));
    let io = TokioIo::new(UnixStream::connect(&path).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get("http://agent/").body(Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, "nobody");
    trigger.request();
    task.await.unwrap().unwrap();
    driver.abort();
    assert!(!path.exists());
}
