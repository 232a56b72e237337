//! Limits of connections and requests, as DestinationRules say.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    cluster::{CLIENT, address_of, destination_rule, service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bytes::Silent,
    envoy::RunningEnvoy,
    eventually_seen,
    http::{Echo, get, try_get},
};

/// The Envoy of a client of `web`, a service with that port, which is served at that one, under a `trafficPolicy` as in a YAML map.
async fn client(port: &str, web: u16, policy: &str, listener: &str) -> (RunningEnvoy, u16) {
    let rule = destination_rule("web", &format!("  trafficPolicy: {{{policy}}}"));
    Scene::of(&[CLIENT, &service("shop", "web", port, &[("v1", web)]), &rule].concat()).envoy("shop/client", listener).await
}

#[test]
fn who_finds_connections_and_the_queue_full_is_refused_at_once() {
    block_on(async {
        let silent = Silent::start().await;
        let pool = "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}";
        let (envoy, port) = client("http:80", silent.port, pool, "0.0.0.0_80").await;
        let asked = || tokio::spawn(async move { try_get(port, "/", &[("host", "web")]).await });
        let first = asked();
        eventually_seen("one request has the connection", async || envoy.counted("upstream_rq_active").await == 1).await;
        let second = asked();
        eventually_seen("one request is in the queue", async || envoy.counted("upstream_rq_pending_active").await == 1).await;
        let refused = get(port, "/", &[("host", "web")]).await;
        assert_eq!((refused.status, refused.headers.get("x-envoy-overloaded").map(String::as_str)), (503, Some("true")), "{refused:?}");
        [first, second].iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn http_2_has_a_limit_of_requests_instead() {
    block_on(async {
        let silent = Silent::start().await;
        let pool = "connectionPool: {http: {http2MaxRequests: 1}}";
        let (envoy, port) = client("http2:80", silent.port, pool, "0.0.0.0_80").await;
        let waiting = tokio::spawn(async move { try_get(port, "/", &[("host", "web")]).await });
        eventually_seen("a request is under way", async || envoy.counted("upstream_rq_active").await == 1).await;
        assert_eq!(get(port, "/", &[("host", "web")]).await.status, 503);
        waiting.abort();
    });
}

#[test]
fn a_connection_may_serve_so_many_requests_and_so_long() {
    block_on(async {
        let web = Echo::start("web").await;
        for (pool, connections) in
            [("{tcp: {connectTimeout: 5s}}", 1), ("{http: {maxRequestsPerConnection: 2}}", 3), ("{http: {maxRequestsPerConnection: 1}}", 6)]
        {
            let (envoy, port) = client("http:80", web.port, &format!("connectionPool: {pool}"), "0.0.0.0_80").await;
            for _ in 0..6 {
                assert_eq!(get(port, "/", &[("host", "web")]).await.status, 200);
            }
            assert_eq!(envoy.counted("web.shop.svc.cluster.local;.upstream_cx_total").await, connections, "{pool}");
        }
        for pool in ["{http: {idleTimeout: 0.05s}}", "{tcp: {maxConnectionDuration: 0.05s}}"] {
            let (envoy, port) = client("http:80", web.port, &format!("connectionPool: {pool}"), "0.0.0.0_80").await;
            assert_eq!(get(port, "/", &[("host", "web")]).await.status, 200);
            eventually_seen(&format!("the connection ends by {pool}"), async || {
                envoy.counted("web.shop.svc.cluster.local;.upstream_cx_active").await == 0
            })
            .await;
        }
    });
}

#[test]
fn a_connection_of_bytes_ends_when_nobody_says_anything() {
    block_on(async {
        let silent = Silent::start().await;
        let listener = format!("{}_5432", address_of("web"));
        let (_envoy, port) = client("tcp:5432", silent.port, "connectionPool: {tcp: {idleTimeout: 0.05s}}", &listener).await;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        assert!(heard.is_empty());
    });
}

#[test]
fn a_rule_may_be_for_a_port_for_some_workloads_or_for_some_namespaces_alone() {
    block_on(async {
        let web = Echo::start("web").await;
        let backend = service("shop", "web", "http:80", &[("v1", web.port)]);
        let one = "connectionPool: {http: {maxRequestsPerConnection: 1}}";
        let rules = [
            ("the host", format!("  trafficPolicy: {{{one}}}"), 4),
            ("the port", format!("  trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {one}}}]}}"), 4),
            ("another port", format!("  trafficPolicy: {{portLevelSettings: [{{port: {{number: 81}}, {one}}}]}}"), 1),
            ("the workload", format!("  workloadSelector: {{matchLabels: {{app: client}}}}\n  trafficPolicy: {{{one}}}"), 4),
            ("another workload", format!("  workloadSelector: {{matchLabels: {{app: other}}}}\n  trafficPolicy: {{{one}}}"), 1),
            ("other namespaces", format!("  exportTo: [elsewhere]\n  trafficPolicy: {{{one}}}"), 1),
        ];
        for (whose, rule, connections) in rules {
            let scene = Scene::of(&[CLIENT, &backend, &destination_rule("web", &rule)].concat());
            let (envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
            for _ in 0..4 {
                assert_eq!(get(port, "/", &[("host", "web")]).await.status, 200);
            }
            assert_eq!(envoy.counted("web.shop.svc.cluster.local;.upstream_cx_total").await, connections, "settings of {whose}");
        }
    });
}
