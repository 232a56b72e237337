//! Verdicts on reviews, and galley's tasks asked over real TLS.

use axum::{Router, body::Body};
use http::StatusCode;
use http_body_util::BodyExt;
use rcgen::KeyPair;
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};
use tower::ServiceExt;

use super::{GalleyConfig, routes, start};
use crate::config::ParseContext;
use crate::runtime::{Listener, Readiness, Registry, Shutdown, Tasks, encode_metrics};
use crate::testing::{TestCa, ask_webhook, eventually};

const SERVICE: &str = "istio-galley.istio-system.svc";

fn route(registry: &mut Registry) -> Router {
    routes(ParseContext::default(), registry)
}

/// What galley answers to the creation of an object in namespace shop.
async fn ask(request: Value) -> Value {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let (status, mut body) = post(body.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    body["response"].take()
}

async fn post(body: impl Into<Body>) -> (StatusCode, Value) {
    let request = http::Request::post("/validate").body(body.into()).unwrap();
    let response = route(&mut Registry::default()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn request(group: &str, kind: &str, object: &Value) -> Value {
    json!({
        "uid": "u-1", "kind": {"group": group, "version": "v1alpha3", "kind": kind}, "operation": "CREATE",
        "namespace": "shop", "name": "reviews", "userInfo": {"username": "jane"}, "object": object, "oldObject": null,
    })
}

fn virtual_service(spec: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": "reviews", "namespace": "shop"}, "spec": spec})
}

fn creation(spec: Value) -> Value {
    request("networking.istio.io", "VirtualService", &virtual_service(spec))
}

fn split(weights: &[u32]) -> Value {
    let route: Vec<Value> = weights.iter().map(|weight| json!({"destination": {"host": "reviews"}, "weight": weight})).collect();
    json!({"hosts": ["reviews"], "http": [{"route": route}]})
}

#[tokio::test]
async fn what_users_are_told() {
    let to = json!([{"destination": {"host": "reviews"}}]);
    let cases = [
        ("good", split(&[90, 10])),
        ("weights", split(&[80, 10])),
        ("several", json!({"hosts": ["reviews"], "http": [{"timout": "3s", "route": [{"destination": {"host": "a_b"}}]}]})),
        ("doubtful", json!({"hosts": ["reviews"], "http": [{"route": to}, {"match": [{"uri": {"prefix": "/"}}], "route": to}]})),
        ("types", json!({"hosts": "reviews"})),
    ];
    let mut told = String::new();
    for (name, spec) in cases {
        let response = ask(creation(spec)).await;
        writeln!(told, "{name}: {}", if response["allowed"] == true { "allowed" } else { "denied" }).unwrap();
        for line in response["status"]["message"]
            .as_str()
            .filter(|text| !text.is_empty())
            .into_iter()
            .chain(response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str))
        {
            writeln!(told, "  {line}").unwrap();
        }
    }
    insta::assert_snapshot!(told, @r#"
    good: allowed
    weights: denied
      VirtualService shop/reviews spec.http[0].route: weights add up to 90, not 100 (FM0112)
    several: denied
      VirtualService shop/reviews spec.http[0].timout: unknown field "timout", did you mean "timeout"? (FM0104); spec.http[0].route[0].destination.host: "a_b" is no DNS name: the label "a_b" is malformed (FM0110)
    doubtful: allowed
      spec.http[1] never matches: spec.http[0] takes every path (IST0130)
    types: denied
      VirtualService shop/reviews spec.hosts: must be of type array, not string (FM0102)
    "#);
}

#[tokio::test]
async fn unknown_kinds_are_refused_and_a_mesh_install_is_nobodys_here() {
    for (group, kind) in
        [("networking.istio.io", "EnvoyFilter"), ("security.istio.io", "Nothing"), ("install.ferromesh.dev", "MeshInstall")]
    {
        let response = ask(request(group, kind, &json!({"metadata": {"name": "x"}}))).await;
        assert_eq!(response["allowed"], false, "{kind}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{kind} shop/reviews ")), "{message}");
    }
}

#[tokio::test]
async fn deletions_status_and_objects_on_their_way_out_pass() {
    let bad = json!({"hosts": 5});
    let mut deletion = creation(bad.clone());
    deletion["operation"] = "DELETE".into();
    deletion["oldObject"] = deletion["object"].take();
    let mut status = creation(bad.clone());
    status["operation"] = "UPDATE".into();
    status["subResource"] = "status".into();
    let mut finalized = creation(bad.clone());
    finalized["operation"] = "UPDATE".into();
    finalized["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for passing in [deletion, status, finalized] {
        assert_eq!(ask(passing).await["allowed"], true);
    }
    let mut update = creation(bad);
    update["operation"] = "UPDATE".into();
    assert_eq!(ask(update).await["allowed"], false);
}

#[tokio::test]
async fn a_probe_is_refused_whatever_it_says() {
    let mut probe = creation(split(&[100]));
    assert_eq!(ask(probe.clone()).await["allowed"], true);
    probe["object"]["metadata"]["annotations"] = json!({"internal.istio.io/webhook-always-reject": "true"});
    assert_eq!(ask(probe).await["allowed"], false);
}

#[tokio::test]
async fn verdicts_are_counted_by_kinds_that_the_mesh_has() {
    let mut registry = Registry::default();
    let route = route(&mut registry);
    for request in [creation(split(&[100])), creation(json!({})), request("evil.example", "Thing\"{}", &json!({}))] {
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string();
        route.clone().oneshot(http::Request::post("/validate").body(Body::from(body)).unwrap()).await.unwrap();
    }
    let page = encode_metrics(&registry);
    for line in [
        "galley_validation_passed_total{group=\"networking.istio.io\",kind=\"VirtualService\"} 1",
        "galley_validation_failed_total{group=\"networking.istio.io\",kind=\"VirtualService\",reason=\"invalid\"} 1",
        "galley_validation_failed_total{group=\"other\",kind=\"other\",reason=\"unknown_kind\"} 1",
        "galley_validation_time_seconds_count 3",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
}

/// Bodies that are made to cost as much as possible get short answers soon.
#[tokio::test]
async fn hostile_questions_cost_little() {
    let review = |object: &str| {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": creation(json!("HERE"))}).to_string();
        review.replace("\"HERE\"", object)
    };
    let big = 3 * 1024 * 1024;
    let cases = [
        ("deep lists", review(&format!("{{\"hosts\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000))), None),
        ("as deep as is read", review(&format!("{{\"hosts\": {}{}}}", "[".repeat(100), "]".repeat(100))), Some(false)),
        (
            "a huge expression",
            review(&json!({"hosts": ["a"], "http": [{"match": [{"uri": {"regex": "a?".repeat(big / 2)}}]}]}).to_string()),
            Some(false),
        ),
        (
            "a costly expression",
            review(&json!({"hosts": ["a"], "http": [{"match": [{"uri": {"regex": "((((.{1000}){1000}){1000}){1000})"}}]}]}).to_string()),
            Some(false),
        ),
        (
            "many fields",
            review(&format!("{{{}\"hosts\": []}}", (0..90_000).map(|n| format!("\"hots{n}\": {{}},")).collect::<String>())),
            Some(false),
        ),
        ("many hosts", review(&json!({"hosts": vec!["*.a.example.com"; big / 18]}).to_string()), Some(false)),
        ("many numbers", review(&format!("{{\"hosts\": [{}1]}}", "1,".repeat(big / 2))), None),
        ("a huge name", review(&json!({"hosts": ["x".repeat(big)]}).to_string()), Some(false)),
        ("no text", review("\"\\ud800\""), None),
        ("more than is read", " ".repeat(9 * 1024 * 1024), None),
    ];
    for (name, body, expected) in cases {
        let started = Instant::now();
        let (status, body) = post(body).await;
        let took = started.elapsed();
        // Generous, because the machine may be busy; an unbounded cost would be minutes.
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
        assert_eq!(status.is_success(), expected.is_some(), "{name}: {status}");
        assert_eq!(body["response"]["allowed"].as_bool(), expected, "{name}: {body}");
        assert!(body.to_string().len() < 16_000, "{name}: {} bytes", body.to_string().len());
    }
}

#[tokio::test]
async fn it_is_ready_with_its_certificate_and_answers_over_tls() {
    let files = tempfile::tempdir().unwrap();
    let config = GalleyConfig {
        certificates: files.path().to_owned(),
        reread: Duration::from_millis(1),
        cluster_domain: "cluster.local".to_owned(),
    };
    let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    start(config, listener, &mut tasks, &readiness, &mut registry);
    let (stop, stopped) = Shutdown::channel();
    let signal = Box::pin(futures::stream::once(async move {
        stopped.requested().await;
        "SIGTERM"
    }));
    let task = tokio::spawn(tasks.run(futures::StreamExt::chain(signal, futures::stream::pending()), Duration::from_secs(10)));
    let refused = || encode_metrics(&registry).lines().any(|line| line == "webhook_certificate_refused 1");
    eventually("the absence of a certificate is an alarm", refused).await;
    assert_eq!(readiness.awaited(), ["serving certificate"]);

    let ca = TestCa::new("webhooks");
    let certify = || {
        let key = KeyPair::generate().unwrap();
        fs::write(files.path().join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(files.path().join("tls.crt"), ca.sign(&key, &[], &[SERVICE]).pem()).unwrap();
    };
    certify();
    tokio::time::timeout(Duration::from_secs(20), readiness.ready()).await.expect("ready");
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": creation(split(&[80, 10]))}).to_string();
    let (status, answer) = ask_webhook(&ca, SERVICE, address, "/validate", body).await;
    assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(false)));
    stop.request();
    task.await.unwrap().unwrap();
}
