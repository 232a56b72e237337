//! The agent's port before a pretended application and a pretended Envoy.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::Redirect,
    routing::{get, post},
};
use http_body_util::BodyExt;
use std::{collections::BTreeMap, net::Ipv4Addr};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::{AppMetrics, Draining, Serving, Status, parse_probes, register, routes};
use crate::agent::{EnvoyAdmin, Order};
use crate::model::SpiffeId;
use crate::runtime::{ClientAuth, Limits, Listener, Peer, Security, Shutdown, Trigger, prefixed_registry, server_config};
use crate::testing::{TestCa, free_port};

/// A server on loopback, until it is dropped.
async fn serve(router: Router, security: Security) -> (u16, Trigger) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (trigger, shutdown) = Shutdown::channel();
    tokio::spawn(listener.serve(router, security, Limits::default(), shutdown));
    (port, trigger)
}

struct Agent {
    router: Router,
    orders: mpsc::Receiver<Order>,
}

// === impl Agent ===

impl Agent {
    fn new(admin: u16, probes: &str, app_metrics: Option<AppMetrics>) -> Self {
        let (sender, orders) = mpsc::channel(4);
        let mut registry = prefixed_registry("istio_agent");
        let failures = register(&mut registry);
        let status = Status {
            serving: Serving::Envoy(EnvoyAdmin::new(admin)),
            certificate: watch::channel(None).1,
            address: Ipv4Addr::LOCALHOST.into(),
            probes: if probes.is_empty() { BTreeMap::new() } else { parse_probes(probes).unwrap() },
            app_metrics,
            registry,
            failures,
            orders: sender,
            draining: Draining::default(),
        };
        Self { router: routes(status), orders }
    }

    async fn ask(&self, method: &str, path: &str, from: &str) -> (StatusCode, String) {
        let peer = Peer { address: Some(from.parse().unwrap()), identity: None };
        let request = Request::builder().method(method).uri(path).header("x-own", "kept").extension(peer).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask("GET", path, "10.0.0.1:1").await
    }
}

fn app() -> Router {
    let well = async |headers: HeaderMap| match (headers.get("x-own"), headers.get("x-probe"), headers.get(header::HOST)) {
        (Some(own), Some(probe), Some(host)) if own == "kept" && probe == "1" && host == "shop.example" => StatusCode::NO_CONTENT,
        _ => StatusCode::BAD_REQUEST,
    };
    Router::new()
        .route("/well", get(well))
        .route("/ill", get(async || (StatusCode::SERVICE_UNAVAILABLE, "no database")))
        .route("/moved", get(async || Redirect::permanent("/elsewhere")))
        .route("/slow", get(std::future::pending::<StatusCode>))
        .route("/metrics", get(async || "# TYPE orders counter\norders_total 7\n# EOF\n"))
}

#[tokio::test]
async fn http_probes_ask_the_application_as_the_kubelet_would() {
    let (port, _app) = serve(app(), Security::Plain).await;
    let dead = free_port();
    let agent = Agent::new(
        dead,
        &format!(
            r#"{{"/app-health/web/readyz": {{"httpGet": {{"path": "/well", "port": {port}, "httpHeaders":
                    [{{"name": "X-Probe", "value": "1"}}, {{"name": "Host", "value": "shop.example"}}]}}}},
                "/app-health/web/livez": {{"httpGet": {{"path": "ill", "port": {port}}}}},
                "/app-health/web/startupz": {{"httpGet": {{"path": "/moved", "port": {port}}}}},
                "/app-health/slow/livez": {{"httpGet": {{"path": "/slow", "port": {port}}}, "timeoutSeconds": 1}},
                "/app-lifecycle/web/prestopz": {{"httpGet": {{"path": "/well", "port": {dead}}}}}}}"#
        ),
        None,
    );
    assert_eq!(agent.get("/app-health/web/readyz").await.0, StatusCode::OK);
    assert_eq!(agent.get("/app-health/web/livez").await, (StatusCode::SERVICE_UNAVAILABLE, "no database".to_owned()));
    assert_eq!(agent.get("/app-health/web/startupz").await.0, StatusCode::OK, "a redirect is a success to the kubelet");
    assert_eq!(agent.get("/app-health/other/livez").await.0, StatusCode::NOT_FOUND);
    let (status, reason) = agent.get("/app-lifecycle/web/prestopz").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(reason.contains("Connection refused"), "{reason}");
    assert_eq!(agent.get("/app-health/slow/livez").await.1, "no answer within 1s\n");
}

#[tokio::test]
async fn https_probes_take_any_certificate() {
    let ca = TestCa::new("nobody");
    let own = ca.workload(&SpiffeId::new("x", "y", "z"), &["app"]);
    let tls = server_config(own.chain.clone(), own.key(), ClientAuth::None).unwrap();
    let (port, _app) = serve(app(), Security::fixed(tls)).await;
    let probe = format!(r#"{{"/app-health/web/livez": {{"httpGet": {{"path": "/ill", "port": {port}, "scheme": "HTTPS"}}}}}}"#);
    let agent = Agent::new(9, &probe, None);
    assert_eq!(agent.get("/app-health/web/livez").await.1, "no database");
}

#[tokio::test]
async fn tcp_probes_connect() {
    let (port, app) = serve(app(), Security::Plain).await;
    let agent = Agent::new(9, &format!(r#"{{"/app-health/web/livez": {{"tcpSocket": {{"port": {port}}}}}}}"#), None);
    assert_eq!(agent.get("/app-health/web/livez").await.0, StatusCode::OK);
    drop(app);
    crate::testing::eventually("nobody listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    assert_eq!(agent.get("/app-health/web/livez").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn grpc_probes_ask_for_the_services_health() {
    // A length-prefixed HealthCheckResponse: SERVING to those who ask for "db", NOT_SERVING to others.
    let check = async |request: Request| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let status = if body[5..] == *b"\x0a\x02db" { 1 } else { 2 };
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let body = http_body_util::Full::from(vec![0u8, 0, 0, 0, 2, 8, status]).with_trailers(async move { Some(Ok(trailers)) });
        axum::http::Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(Body::new(body)).unwrap()
    };
    let (port, _app) = serve(Router::new().route("/grpc.health.v1.Health/Check", post(check)), Security::PlainHttp2).await;
    let probe = format!(
        r#"{{"/app-health/db/livez": {{"grpc": {{"port": {port}, "service": "db"}}}}, "/app-health/web/livez": {{"grpc": {{"port": {port}}}}}}}"#
    );
    let agent = Agent::new(9, &probe, None);
    assert_eq!(agent.get("/app-health/db/livez").await, (StatusCode::OK, String::new()));
    assert_eq!(agent.get("/app-health/web/livez").await, (StatusCode::SERVICE_UNAVAILABLE, "the service's status is 2\n".to_owned()));
}

fn envoy(statistics: &'static str) -> Router {
    Router::new()
        .route("/stats", get(async move || statistics))
        .route("/drain_listeners", post(async || "OK\n"))
        .route("/stats/prometheus", get(async || "# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{} 3\n"))
}

const LIVE: &str = "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\n\
                    listener_manager.workers_started: 1\nserver.state: 0\n";

#[tokio::test]
async fn a_proxy_is_ready_when_envoy_serves_and_is_not_leaving() {
    let agent = Agent::new(free_port(), "", None);
    assert_eq!(agent.get("/healthz/ready").await.1, "not ready: no certificate from citadel yet\n");
    let (admin, _envoy) = serve(envoy("server.state: 2\n"), Security::Plain).await;
    assert_eq!(Agent::new(admin, "", None).get("/healthz/ready").await.1, "not ready: no clusters from pilot\n");
    let (admin, _envoy) = serve(envoy(LIVE), Security::Plain).await;
    let agent = Agent::new(admin, "", None);
    assert_eq!(agent.get("/healthz/ready").await, (StatusCode::OK, "ready\n".to_owned()));
    assert_eq!(agent.ask("POST", "/drain", "127.0.0.1:1").await.0, StatusCode::OK);
    assert_eq!(agent.get("/healthz/ready").await, (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n".to_owned()));
}

#[tokio::test]
async fn metrics_of_envoy_application_and_agent_are_one_page() {
    let (admin, _envoy) = serve(envoy(""), Security::Plain).await;
    let (port, _app) = serve(app(), Security::Plain).await;
    let app = AppMetrics { port: port.to_string(), ..AppMetrics::default() };
    let (status, page) = Agent::new(admin, "", Some(app)).get("/stats/prometheus").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.starts_with("# TYPE istio_requests_total counter\nistio_requests_total{} 3\n# TYPE orders counter\norders_total 7\n"));
    assert!(page.contains("\nistio_agent_process_threads "), "{page}");
    assert!(!page.contains("EOF"), "{page}");
}

#[tokio::test]
async fn a_dead_page_does_not_spoil_the_others() {
    let (admin, _envoy) = serve(envoy(""), Security::Plain).await;
    let app = AppMetrics { port: free_port().to_string(), ..AppMetrics::default() };
    let (status, page) = Agent::new(admin, "", Some(app)).get("/stats/prometheus").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("\nistio_requests_total{} 3\n"), "{page}");
    assert!(page.contains("\nistio_agent_scrape_failures_total{page=\"application\"} 1\n"), "{page}");
}

#[tokio::test]
async fn only_the_pod_itself_may_end_its_proxy() {
    let mut agent = Agent::new(9, "", None);
    for path in ["/quitquitquit", "/drain"] {
        assert_eq!(agent.ask("POST", path, "10.0.0.1:1").await.0, StatusCode::FORBIDDEN);
        assert_eq!(agent.ask("GET", path, "127.0.0.1:1").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(agent.orders.try_recv().is_err());
    assert_eq!(agent.ask("POST", "/quitquitquit", "[::ffff:127.0.0.1]:1").await.0, StatusCode::OK);
    assert_eq!(agent.orders.recv().await, Some(Order::Quit));
}
