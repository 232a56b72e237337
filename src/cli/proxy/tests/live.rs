//! Pods behind an API server: an HTTP server that lists pods, and forwards ports by WebSocket as Kubernetes does, to ports of loopback.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, sync::mpsc, thread};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

use crate::cli::{Exit, tests::run};
use crate::testing::{block_on, envoy::start, http::Echo};

/// Where the port that is forwarded leads; each pod has one.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Backend {
    pub(in crate::cli) pod: &'static str,
    pub(in crate::cli) port: u16,
}

/// Serves until the test ends, on a thread of its own: the command line has a runtime of its own, too. Returns a kubeconfig.
pub(in crate::cli) fn api_server(folder: &TempDir, backends: Vec<Backend>) -> String {
    let (told, port) = mpsc::channel();
    thread::spawn(move || {
        block_on(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            told.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, backends.clone()));
            }
        });
    });
    let server = format!("http://127.0.0.1:{}", port.recv().unwrap());
    let file = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    file.display().to_string()
}

async fn serve(mut stream: TcpStream, backends: Vec<Backend>) {
    let mut head = [0; 4096];
    let read = stream.peek(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    if head.contains("/portforward") {
        return forward(stream, backends).await;
    }
    let pod = |backend: &Backend| json!({"metadata": {"name": backend.pod, "namespace": if backend.pod.starts_with("istio") { "istio-system" } else { "shop" }}, "status": {"phase": "Running"}});
    let pilots = head.contains("labelSelector=istio");
    let items: Vec<Value> = backends.iter().filter(|it| !pilots || it.pod.starts_with("istio")).map(pod).collect();
    let body = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}).to_string();
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut request = vec![0; read];
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Two channels a port: bytes, and errors. Each begins with the port's number.
#[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
async fn forward(stream: TcpStream, backends: Vec<Backend>) {
    let mut path = String::new();
    let callback = |request: &Request, mut response: Response| {
        path = request.uri().to_string();
        response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
        Ok(response)
    };
    let socket = accept_hdr_async(stream, callback).await.unwrap();
    let (mut to_client, mut from_client) = socket.split();
    let number: u16 = path.rsplit('=').next().unwrap().parse().unwrap();
    let [low, high] = number.to_le_bytes();
    for channel in [0, 1] {
        to_client.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let backend = backends.iter().find(|it| path.contains(&format!("/pods/{}/", it.pod)));
    let Ok(pod) = TcpStream::connect((Ipv4Addr::LOCALHOST, backend.map_or(1, |it| it.port))).await else {
        to_client.send(Message::binary([&[1], &b"connection refused"[..]].concat())).await.unwrap();
        // To end with something unread would break the connection off, and what was said with it.
        while let Some(Ok(_)) = from_client.next().await {}
        return;
    };
    let (mut from_pod, mut to_pod) = pod.into_split();
    tokio::spawn(async move {
        while let Some(Ok(Message::Binary(bytes))) = from_client.next().await {
            if bytes.first() == Some(&0) && to_pod.write_all(&bytes[1..]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from_pod.read(&mut buffer).await {
        if to_client.send(Message::binary([&[0], &buffer[..read]].concat())).await.is_err() {
            return;
        }
    }
    let _ = to_client.close().await;
}

/// An answer of a page, whatever is asked.
pub(in crate::cli) async fn page_server(pages: &'static [(&'static str, &'static str)]) -> u16 {
    let mut router = axum::Router::new();
    for (path, body) in pages {
        router = router.route(path, axum::routing::get(async move || *body));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// Runs a command line away from the runtime of the test, which serves meanwhile.
async fn asked(command: String) -> crate::cli::tests::Run {
    tokio::task::spawn_blocking(move || run(&command, "")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_envoy_is_asked_and_told_through_the_api_server() {
    let echo = Echo::start("upstream").await;
    let cluster = json!({
        "name": "outbound|80||a.shop.svc.cluster.local", "type": "STATIC", "load_assignment": {"cluster_name": "x", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": echo.port}}}},
        ]}]},
    });
    let envoy = start(
        json!({"node": {"id": "sidecar~10.0.0.1~web-7d4-x.shop~shop", "cluster": "web"}, "static_resources": {"clusters": [cluster]}}),
    )
    .await;
    let folder = TempDir::new().unwrap();
    let kubeconfig = api_server(&folder, vec![Backend { pod: "web-7d4-x", port: envoy.admin_port }, Backend { pod: "dead", port: 1 }]);
    let pc = async |rest: &str| asked(format!("pc {rest} --kubeconfig {kubeconfig}")).await;

    let clusters = pc("cluster web-7d4-x").await;
    assert_eq!((clusters.exit, clusters.stderr.as_str()), (Exit::Clean, ""));
    assert!(clusters.stdout.contains("a.shop.svc.cluster.local  80    -       outbound   STATIC  -"), "{}", clusters.stdout);
    let endpoints = pc("endpoint deploy/web").await;
    assert!(endpoints.stdout.contains(&format!("127.0.0.1:{}", echo.port)), "{endpoints:?}");
    let set = pc("log web-7d4-x.shop --level http:debug").await;
    assert!(set.stdout.lines().any(|line| line.split_whitespace().eq(["http", "debug"])), "{set:?}");
    let reset = pc("log web-7d4-x.shop --reset -o json").await;
    assert!(reset.stdout.contains(r#""http": "warning""#), "{reset:?}");

    let dead = pc("cluster dead").await;
    assert_eq!(
        (dead.exit, dead.stderr.as_str()),
        (Exit::Unreachable, "error: port 15000 of dead.shop can't be reached: connection refused\n")
    );
    let none = pc("cluster deploy/none").await;
    assert_eq!(none.stderr, "error: no pod of none runs in namespace shop\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pilots_pages_tell_how_far_proxies_got_and_what_they_refuse() {
    const SYNCED: &str = r#"[{"proxy": "web-1.shop", "proxy_version": "1.0", "cluster_sent": "1", "cluster_acked": "1", "listener_sent": "2",
        "listener_acked": "2", "route_sent": "4", "route_acked": "3", "endpoint_sent": "1", "endpoint_acked": "1"}]"#;
    const CONNECTED: &str = r#"[{"proxy": "web-1.shop", "rejections": [
        {"type": "rds", "name": "80", "message": "bad regex", "sources": ["Service shop/web", "VirtualService shop/web"]}]}]"#;
    let port = page_server(&[("/debug/syncz", SYNCED), ("/debug/connections", CONNECTED)]).await;
    let folder = TempDir::new().unwrap();
    let kubeconfig = api_server(&folder, vec![Backend { pod: "istio-pilot-1", port }]);

    let status = asked(format!("proxy-status --kubeconfig {kubeconfig}")).await;
    assert_eq!(status.exit, Exit::Clean, "{status:?}");
    assert!(status.stdout.ends_with("web-1.shop  SYNCED  SYNCED  SYNCED  NACKED  istio-pilot-1  1.0\n"), "{}", status.stdout);
    assert!(status.stderr.contains("because of VirtualService shop/web"), "{}", status.stderr);
    let nack = asked(format!("why nack web-1 -n shop --kubeconfig {kubeconfig}")).await;
    assert_eq!(nack.exit, Exit::Findings);
    assert_eq!(nack.stdout, "refused rds 80: bad regex\n  by Service shop/web\n  by VirtualService shop/web\n");
    let other = asked(format!("why nack web-2 -n shop --kubeconfig {kubeconfig}")).await;
    assert_eq!(other.stderr, "error: web-2.shop is connected to no pilot\n");
}
