//! Applications that end while clients' proxies still send them requests.

use axum::Router;
use http::Method;
use tokio::net::TcpListener;

use super::{
    cluster::{CLIENT, pod, service},
    scene::Scene,
    sidecar::{server, sidecar},
};
use crate::testing::{
    block_on,
    bytes::Speaker,
    envoy::RunningEnvoy,
    free_port,
    http::{Answer, Echo, ask},
};

/// Enough to meet both of two endpoints.
const REQUESTS: usize = 20;
const HEADER: &str = "x-ferromesh-retriable";

/// The Envoy of a server whose application is at that port; and the port at which callers reach it.
async fn in_front_of(application: u16) -> (RunningEnvoy, u16) {
    let port = free_port();
    let ingress = format!("  ingress: [{{port: {{number: {port}, protocol: HTTP}}, defaultEndpoint: '127.0.0.1:{application}'}}]");
    let scene = Scene::of(&[&*pod("shop", "server", "app: server"), &sidecar(&ingress)].concat());
    (server(&scene, port).await, port)
}

/// Two servers of one service, the second of which serves, and a client of theirs.
struct Pair {
    first: RunningEnvoy,
    _second: RunningEnvoy,
    _client: RunningEnvoy,
    _web: Echo,
    port: u16,
}

// === impl Pair ===

impl Pair {
    /// The first server's application is at that port.
    async fn with(application: u16) -> Self {
        let web = Echo::start("web").await;
        let ((first, one), (second, two)) = (in_front_of(application).await, in_front_of(web.port).await);
        let scene = Scene::of(&[CLIENT, &service("shop", "web", "http:80", &[("v1", one), ("v2", two)])].concat());
        let (client, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        Self { first, _second: second, _client: client, _web: web, port }
    }

    /// The answers to some requests, one after the other.
    async fn ask(&self, method: Method) -> Vec<Answer> {
        let mut answers = Vec::new();
        for _ in 0..REQUESTS {
            answers.push(ask(method.clone(), self.port, "/", &[("host", "web")]).await.unwrap());
        }
        answers
    }

    /// How many requests the first server's application was sent.
    async fn sent(&self) -> u64 {
        self.first.counted("inbound.*upstream_rq_total").await
    }
}

fn failed(answers: &[Answer]) -> u64 {
    answers.iter().filter(|answer| answer.status == 503).count().try_into().unwrap()
}

#[test]
fn requests_whose_application_is_gone_are_answered_by_another_endpoint() {
    block_on(async {
        let pair = Pair::with(free_port()).await;
        for method in [Method::GET, Method::POST] {
            let answers = pair.ask(method.clone()).await;
            assert_eq!(failed(&answers), 0, "{method}: {answers:?}");
        }
        assert!(pair.first.counted("inbound.*upstream_cx_connect_fail").await > 0, "some came to the server that is gone");
    });
}

#[test]
fn requests_that_are_cut_off_are_sent_again_if_they_change_nothing() {
    block_on(async {
        // It takes a request, and ends the connection.
        let application = Speaker::start("").await;
        let pair = Pair::with(application.port).await;
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let answers = pair.ask(method.clone()).await;
            assert_eq!(failed(&answers), 0, "{method}: {answers:?}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let before = pair.sent().await;
            let answers = pair.ask(method.clone()).await;
            let sent = pair.sent().await - before;
            assert!(sent > 0, "none came to the server that ends connections");
            assert_eq!(failed(&answers), sent, "{method}: the application may have done what it was asked, so it is not asked again");
        }
    });
}

#[test]
fn a_connection_to_the_application_is_tried_again_and_the_answer_says_that_nothing_was_sent() {
    block_on(async {
        let (envoy, port) = in_front_of(free_port()).await;
        let answer = ask(Method::POST, port, "/", &[]).await.unwrap();
        assert_eq!((answer.status, answer.headers.get(HEADER).map(String::as_str)), (503, Some("true")), "{answer:?}");
        assert_eq!(envoy.counted("inbound.*upstream_rq_retry").await, 2);
    });
}

#[test]
fn an_application_can_not_say_that_it_was_not_asked() {
    block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let application = listener.local_addr().unwrap().port();
        let refuse = || async { (http::StatusCode::SERVICE_UNAVAILABLE, [(HEADER, "true")], "busy") };
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse)).await });
        let pair = Pair::with(application).await;
        let answers = pair.ask(Method::GET).await;
        let sent = pair.sent().await;
        assert!(sent > 0, "none came to that application");
        assert_eq!(failed(&answers), sent);
        assert!(answers.iter().all(|answer| !answer.headers.contains_key(HEADER)), "{answers:?}");
        serving.abort();
    });
}
