//! What runs on HTTP: upgrades, HTTP/2, gRPC with its trailers.

use std::{net::Ipv4Addr, str};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    cluster::{CLIENT, service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    http::{Echo, get},
};

/// The Envoy of a client of service `web`, whose port has that name.
async fn in_front_of(port_name: &str, backend: u16) -> (crate::testing::envoy::RunningEnvoy, u16) {
    let scene = Scene::of(&[CLIENT, &service("shop", "web", &format!("{port_name}:80"), &[("v1", backend)])].concat());
    scene.envoy("shop/client", "0.0.0.0_80").await
}

#[test]
fn a_port_says_which_version_of_http_its_servers_speak() {
    block_on(async {
        let echo = Echo::start("echo").await;
        for (name, version) in [("http", "HTTP/1.1"), ("http2", "HTTP/2.0"), ("grpc", "HTTP/2.0"), ("grpc-web", "HTTP/1.1")] {
            let (_envoy, port) = in_front_of(name, echo.port).await;
            let answer: Value = serde_json::from_str(&get(port, "/", &[("host", "web.shop")]).await.body).unwrap();
            assert_eq!(answer["version"], version, "{name}");
        }
    });
}

#[test]
fn the_mesh_may_let_all_http_go_on_as_http2() {
    block_on(async {
        let echo = Echo::start("echo").await;
        let objects = [CLIENT, &service("shop", "web", "http:80", &[("v1", echo.port)])].concat();
        let own = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}}
";
        for (objects, version) in [(objects.clone(), "HTTP/2.0"), ([&objects, own].concat(), "HTTP/1.1")] {
            let (_envoy, port) = Scene::with(&objects, "h2UpgradePolicy: UPGRADE").envoy("shop/client", "0.0.0.0_80").await;
            let answer: Value = serde_json::from_str(&get(port, "/", &[("host", "web.shop")]).await.body).unwrap();
            assert_eq!(answer["version"], version);
        }
    });
}

#[test]
fn calls_of_grpc_come_with_their_trailers() {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(|| async {
            let trailers = async { Some(Ok(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("7"))]))) };
            let body = Full::new(Bytes::from_static(b"\0\0\0\0\0")).with_trailers(trailers);
            Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
        });
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let (_envoy, port) = in_front_of("grpc", backend).await;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connected = tokio::spawn(connection);
        let request = Request::builder().method("POST").uri("http://web.shop/shop.Web/Buy");
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(Empty::<Bytes>::new());
        let answer = client.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "7");
        assert_eq!(&body.to_bytes()[..], b"\0\0\0\0\0");
        connected.abort();
        serving.abort();
    });
}

#[test]
fn a_connection_may_become_a_websocket() {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = head(&mut stream).await.to_ascii_lowercase();
            assert!(asked.contains("upgrade: websocket"), "{asked}");
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await.unwrap();
            let mut bytes = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..length]).await.unwrap();
            }
        });
        let (_envoy, port) = in_front_of("http", backend).await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web.shop\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await.unwrap();
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        for said in ["one", "two"] {
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut heard = vec![0; said.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, said.as_bytes());
        }
        serving.abort();
    });
}

/// The head of a message of HTTP/1.1.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    str::from_utf8(&read).unwrap().to_owned()
}
