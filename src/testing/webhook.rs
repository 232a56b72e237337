//! Asks a webhook as an API server does: over TLS, by HTTP/2, trusting the root alone.

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TestCa;
use crate::runtime::client_config;

/// A POST to the webhook of `service` at `address`, on a connection of its own. The body that comes back is null if it is no JSON.
pub(crate) async fn ask_webhook(
    ca: &TestCa,
    service: &'static str,
    address: SocketAddr,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    ask_trusting(&[ca.root()], service, address, path, body).await
}

/// The same for a webhook whose authority isn't a test's.
pub(crate) async fn ask_trusting(
    roots: &[CertificateDer<'static>],
    service: &'static str,
    address: SocketAddr,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client_config(roots, None).unwrap()));
    let tls = connector.connect(ServerName::try_from(service).unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post(format!("https://{service}{path}")).body(body.into()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    driver.abort();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
