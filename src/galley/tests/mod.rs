//! Verdicts on reviews, and galley's tasks asked over real TLS.

mod hostile;

use axum::{Router, body::Body};
use ferromesh_crds::networking::DestinationRule;
use http::StatusCode;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Service;
use rcgen::KeyPair;
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{GalleyConfig, routes, start};
use crate::config::ParseContext;
use crate::runtime::{Listener, Readiness, Registry, Shutdown, Tasks, encode_metrics};
use crate::testing::{TestCa, ask_webhook, eventually, fake_api::FakeApi};

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
async fn a_patch_that_no_proxy_can_take_is_told_of() {
    let value = json!({"name": "a", "conect_timeout": "1s"});
    let patches = json!([{"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": value}}]);
    let object = json!({"metadata": {"name": "reviews"}, "spec": {"configPatches": patches}});
    let response = ask(request("networking.istio.io", "EnvoyFilter", &object)).await;
    assert_eq!(response["allowed"], true, "{response}");
    let warnings = response["warnings"].to_string();
    assert!(warnings.contains("spec.configPatches[0].patch.value") && warnings.contains("conect_timeout"), "{warnings}");
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

/// A running galley with a certificate.
struct Server {
    ca: TestCa,
    address: SocketAddr,
    readiness: Readiness,
    tasks: Tasks,
    files: TempDir,
    registry: Registry,
}

impl Server {
    /// Galley on an API server, without a certificate.
    async fn new(api: &FakeApi) -> Self {
        let files = tempfile::tempdir().unwrap();
        let config = GalleyConfig {
            certificates: files.path().to_owned(),
            mesh_config: files.path().join("mesh"),
            reread: Duration::from_millis(1),
            namespace: "istio-system".to_owned(),
            pod: "istio-galley-1".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            revision: String::new(),
            distribution: None,
        };
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        start(config, api.client(), listener, &mut tasks, &readiness, &mut registry);
        Self { ca: TestCa::new("webhooks"), address, readiness, tasks, files, registry }
    }

    /// The same, ready.
    async fn ready(api: &FakeApi) -> Self {
        let server = Self::new(api).await;
        server.certify();
        tokio::time::timeout(Duration::from_secs(20), server.readiness.ready()).await.expect("ready");
        server
    }

    fn certify(&self) {
        let key = KeyPair::generate().unwrap();
        fs::write(self.files.path().join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(self.files.path().join("tls.crt"), self.ca.sign(&key, &[], &[SERVICE]).pem()).unwrap();
    }

    /// The answer to a request, by TLS.
    async fn ask(&self, request: &Value) -> Value {
        let (status, mut answer) = ask_webhook(&self.ca, SERVICE, self.address, "/validate", review(request)).await;
        assert_eq!(status, StatusCode::OK);
        answer["response"].take()
    }
}

fn review(request: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

#[tokio::test]
async fn it_is_ready_with_its_certificate_and_answers_over_tls() {
    let server = Server::new(&FakeApi::new()).await;
    let refused = || encode_metrics(&server.registry).lines().any(|line| line == "webhook_certificate_refused 1");
    eventually("the absence of a certificate is an alarm", refused).await;
    assert_eq!(server.readiness.awaited(), ["serving certificate"]);
    server.certify();
    tokio::time::timeout(Duration::from_secs(20), server.readiness.ready()).await.expect("ready");
    assert_eq!(server.ask(&creation(split(&[80, 10]))).await["allowed"], false);

    let (stop, stopped) = Shutdown::channel();
    let signal = Box::pin(futures::stream::once(async move {
        stopped.requested().await;
        "SIGTERM"
    }));
    let task = tokio::spawn(server.tasks.run(futures::StreamExt::chain(signal, futures::stream::pending()), Duration::from_secs(10)));
    stop.request();
    task.await.unwrap().unwrap();
}

/// What galley warns of, a Service and a DestinationRule with the subset v1 being there.
#[tokio::test]
async fn what_does_not_fit_the_mesh_is_warned_of_and_stored() {
    let api = FakeApi::new();
    let port = json!([{"name": "http", "port": 9080}]);
    let service = json!({"metadata": {"name": "reviews", "namespace": "shop"}, "spec": {"clusterIP": "10.0.0.1", "ports": port}});
    api.insert::<Service>(&serde_json::from_value(service).unwrap());
    let rule = json!({"metadata": {"name": "reviews", "namespace": "shop"}, "spec": {"host": "reviews", "subsets": [{"name": "v1"}]}});
    api.insert::<DestinationRule>(&serde_json::from_value(rule).unwrap());
    let server = Server::ready(&api).await;

    let routes = |destination: Value| json!({"hosts": ["reviews"], "http": [{"route": [{"destination": destination}]}]});
    let mut gateways = routes(json!({"host": "reviews", "subset": "v1"}));
    gateways["gateways"] = json!(["front"]);
    let lost = creation(routes(json!({"host": "reviws"})));
    let mut quiet = lost.clone();
    quiet["object"]["metadata"]["annotations"] = json!({"galley.istio.io/analyze-suppress": "IST0101"});
    // Once it warns at all, it knows the mesh.
    while server.ask(&lost).await["warnings"].is_null() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cases = [
        ("fits", creation(routes(json!({"host": "reviews", "subset": "v1"})))),
        ("host", lost),
        ("subset", creation(routes(json!({"host": "reviews", "subset": "v9"})))),
        ("gateway", creation(gateways)),
        ("quiet", quiet),
    ];
    let mut told = String::new();
    for (name, request) in cases {
        let answer = server.ask(&request).await;
        assert_eq!(answer["allowed"], true, "{name}: {answer}");
        writeln!(told, "{name}: {}", answer["warnings"]).unwrap();
    }
    insta::assert_snapshot!(told, @r#"
    fits: null
    host: ["spec.http[0].route[0].destination.host: no service has the host \"reviws.shop.svc.cluster.local\": create it, or correct the name (IST0101)"]
    subset: ["spec.http[0].route[0].destination.subset: no DestinationRule for \"reviews.shop.svc.cluster.local\" has a subset \"v9\" (IST0101)"]
    gateway: ["spec.gateways[0]: there is no Gateway shop/front: create it, or correct the name (IST0101)"]
    quiet: null
    "#);
}

/// An API server that knows no kind of the mesh, or does not answer at all, is no reason to refuse what can be judged by itself.
#[tokio::test]
async fn it_answers_before_and_without_the_cluster() {
    for code in [404, 403, 500] {
        let api = FakeApi::new();
        api.answer(move |_| Some((code, json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "No", "code": code}))));
        let server = Server::ready(&api).await;
        assert_eq!(server.ask(&creation(split(&[80, 10]))).await["allowed"], false);
        assert_eq!(server.ask(&creation(split(&[100]))).await["allowed"], true);
    }
}

#[test]
fn the_charts_role_lets_it_read_every_kind_and_write_its_status_alone() {
    let role = include_str!("../../../charts/ferromesh/templates/roles/galley.yaml");
    let listed = |word: &str| role.split(|c: char| !(c.is_alphanumeric() || "./".contains(c))).any(|listed| listed == word);
    for kind in ferromesh_crds::catalog::kinds().iter().filter(|kind| kind.group != "install.ferromesh.dev") {
        assert!(listed(kind.group) && listed(kind.plural), "{} {}", kind.group, kind.plural);
        assert!(listed(&format!("{}/status", kind.plural)), "{}/status", kind.plural);
    }
    assert!(!listed("secrets") && !listed("delete"));
}
