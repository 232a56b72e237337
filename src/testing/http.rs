//! A tiny HTTP client, and a server that tells what it got.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

use axum::{Json, Router, extract::Request};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, UnixStream},
    task::JoinHandle,
};

/// An answer, its body read as text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Asks a server on loopback by a connection of its own.
pub(crate) async fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Answer {
    try_get(port, path, headers).await.unwrap_or_else(|error| panic!("GET {path} on port {port}: {error:?}"))
}

/// The same where it may fail.
pub(crate) async fn try_get(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
    ask(http::Method::GET, port, path, headers).await
}

/// The same with any method.
pub(crate) async fn ask(method: http::Method, port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
    send(method, port, path, headers, Full::default()).await
}

/// The same with a JSON document to send.
pub(crate) async fn post(port: u16, path: &str, document: &Value) -> Result<Answer, Error> {
    send(http::Method::POST, port, path, &[("content-type", "application/json")], document.to_string().into()).await
}

async fn send(method: http::Method, port: u16, path: &str, headers: &[(&str, &str)], body: Full<bytes::Bytes>) -> Result<Answer, Error> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let mut request = http::Request::builder().method(method).uri(format!("http://127.0.0.1:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(read(client.request(request.body(body).unwrap()).await?).await)
}

/// An answer as a whole.
pub(super) async fn read(answer: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), value.to_str().unwrap_or_default().to_owned());
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// The body of what a server on a Unix socket answers to who calls it by that name.
pub(crate) async fn ask_socket(path: &Path, host: &str) -> String {
    let stream = UnixStream::connect(path).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get("/").header("host", host).body(Empty::<bytes::Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    driver.abort();
    String::from_utf8_lossy(&body).into_owned()
}

/// An upstream that answers with its name and with the request that it got: `{name, version, method, path, headers}`.
pub(crate) struct Echo {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = move |request: Request| async move {
            let header =
                |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), value.to_str().unwrap_or_default().to_owned());
            let headers: BTreeMap<String, String> = request.headers().iter().map(header).collect();
            let path = request.uri().path_and_query().map(ToString::to_string);
            let version = format!("{:?}", request.version());
            Json(json!({"name": name, "version": version, "method": request.method().as_str(), "path": path, "headers": headers}))
        };
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { port, serving }
    }
}

/// A server that answers every request with the same bytes.
pub(crate) struct Files {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

impl Files {
    pub(crate) async fn start(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = move || std::future::ready(bytes.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { port, serving }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
