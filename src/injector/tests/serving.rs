//! The injector's tasks on a fake API server, asked over real TLS as an API server asks.

use axum::body::Body;
use ferromesh_crds::networking::ProxyConfig;
use http::StatusCode;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Node},
};
use rcgen::KeyPair;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::template;
use crate::injector::{InjectorConfig, ProxyConfigs, ProxyImage, Surroundings, inject, start};
use crate::runtime::{Listener, Readiness, Registry, Shutdown, TaskError, Tasks, Trigger, encode_metrics};
use crate::testing::{TestCa, ask_webhook, eventually, eventually_seen, fake_api::FakeApi};

const SERVICE: &str = "istio-sidecar-injector.istio-system.svc";

struct Injector {
    ca: TestCa,
    files: TempDir,
    address: SocketAddr,
    readiness: Readiness,
    registry: Registry,
    stop: Trigger,
    task: JoinHandle<Result<(), TaskError>>,
}

// === impl Injector ===

impl Injector {
    /// Starts with empty folders, on a cluster whose one node can run native sidecars.
    async fn start() -> (Self, FakeApi) {
        let api = FakeApi::new();
        let node = json!({"metadata": {"name": "a"}, "status": {"nodeInfo": {
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
            "operatingSystem": "", "osImage": "", "systemUUID": "", "kubeletVersion": "v1.34.4"}}});
        api.insert::<Node>(&serde_json::from_value(node).unwrap());
        let files = tempfile::tempdir().unwrap();
        let config = InjectorConfig {
            certificates: files.path().to_owned(),
            mesh: files.path().join("mesh"),
            values: files.path().join("values"),
            image: ProxyImage::default(),
            reread: Duration::from_millis(1),
        };
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        start(config, api.client(), listener, &mut tasks, &readiness, &mut registry);
        let (stop, stopped) = Shutdown::channel();
        let signal = Box::pin(futures::stream::once(async move {
            stopped.requested().await;
            "SIGTERM"
        }));
        let task = tokio::spawn(tasks.run(futures::StreamExt::chain(signal, futures::stream::pending()), Duration::from_secs(10)));
        (Self { ca: TestCa::new("webhooks"), files, address, readiness, registry, stop, task }, api)
    }

    async fn ready() -> (Self, FakeApi) {
        let (injector, api) = Self::start().await;
        injector.certify();
        injector.write("values", &serde_json::to_string(&template().values).unwrap());
        injector.write("mesh", &serde_json::to_string(&template().mesh).unwrap());
        tokio::time::timeout(Duration::from_secs(20), injector.readiness.ready()).await.expect("ready");
        (injector, api)
    }

    fn certify(&self) {
        let key = KeyPair::generate().unwrap();
        self.write("tls.crt", &self.ca.sign(&key, &[], &[SERVICE]).pem());
        self.write("tls.key", &key.serialize_pem());
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.files.path().join(file), content).unwrap();
    }

    /// A POST to `/inject` by HTTP/2 over TLS.
    async fn post(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        self.post_to("/inject", body).await
    }

    async fn post_to(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        ask_webhook(&self.ca, SERVICE, self.address, path, body).await
    }

    /// The `response` to the creation of a pod in namespace shop.
    async fn review(&self, pod: &Value) -> Value {
        let (status, mut body) = self.post(review(pod).to_string()).await;
        assert_eq!(status, StatusCode::OK);
        body["response"].take()
    }

    /// The pod as the API server stores it after the review.
    async fn admitted(&self, pod: &Value) -> Value {
        let response = self.review(pod).await;
        assert_eq!(response["allowed"], true, "{response}");
        let mut admitted = pod.clone();
        if !response["patch"].is_null() {
            let patch: ByteString = serde_json::from_value(response["patch"].clone()).unwrap();
            json_patch::patch(&mut admitted, &serde_json::from_slice::<json_patch::Patch>(&patch.0).unwrap()).unwrap();
        }
        admitted
    }

    fn shows(&self, line: &str) -> bool {
        encode_metrics(&self.registry).lines().any(|shown| shown == line)
    }

    async fn stop(self) {
        self.stop.request();
        self.task.await.unwrap().unwrap();
    }
}

fn review(pod: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE", "namespace": "shop", "userInfo": {"username": "x"}, "object": pod, "oldObject": null, "dryRun": false,
    }})
}

/// The first pod of a Deployment of the sample, as its ReplicaSet makes it.
fn bookinfo(deployment: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/bookinfo/kube/bookinfo.yaml");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap();
    let found = objects.into_iter().find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == deployment);
    let mut pod = found.expect("the Deployment")["spec"]["template"].take();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["labels"]["pod-template-hash"] = "5d8f".into();
    pod["metadata"]["generateName"] = format!("{deployment}-5d8f-").into();
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-5d8f"), "controller": true}]);
    pod
}

#[tokio::test]
async fn a_pod_of_bookinfo_comes_back_with_its_sidecar_and_an_injected_one_as_it_was() {
    let (injector, api) = Injector::ready().await;
    let pod = bookinfo("reviews-v1");
    let injected = injector.admitted(&pod).await;
    assert_eq!(injected, inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap());
    assert_eq!(injected["spec"]["initContainers"][1]["name"], "istio-proxy");
    let again = injector.review(&injected).await;
    assert_eq!(again, json!({"uid": "u-1", "allowed": true}));
    for line in ["requests_total 2", "success_total 2", "skip_total 0", "failure_total 0"] {
        assert!(injector.shows(&format!("sidecar_injection_{line}")), "{}", encode_metrics(&injector.registry));
    }
    // Nothing was asked on the way: the requests are the lists and watches of nodes, ProxyConfigs and namespaces.
    assert!(api.calls().iter().all(|call| ["nodes", "proxyconfigs", "namespaces"].contains(&&*call.target.plural)), "{:?}", api.calls());
    injector.stop().await;
}

#[tokio::test]
async fn a_proxy_config_reaches_the_pods_that_are_made_after_it() {
    let (injector, api) = Injector::ready().await;
    let proxy = |pod: &Value| pod["spec"]["initContainers"][1].clone();
    let spec = json!({
        "selector": {"matchLabels": {"app": "reviews"}},
        "concurrency": 3, "environmentVariables": {"TIER": "front"}, "image": {"imageType": "debug"},
    });
    let object = json!({"metadata": {"name": "reviews", "namespace": "shop"}, "spec": spec});
    api.insert::<ProxyConfig>(&serde_json::from_value(object).unwrap());
    let pod = bookinfo("reviews-v1");
    eventually_seen("the object is known", async || {
        proxy(&injector.admitted(&pod).await)["image"] == "registry.local/mesh/ferromesh-proxy:1.0.0-debug"
    })
    .await;
    let reviews = proxy(&injector.admitted(&pod).await);
    let variable = |name: &str| reviews["env"].as_array().unwrap().iter().find(|it| it["name"] == name).map(|it| it["value"].clone());
    assert_eq!(variable("TIER"), Some("front".into()));
    let config: Value = serde_json::from_str(variable("PROXY_CONFIG").unwrap().as_str().unwrap()).unwrap();
    assert_eq!(config["concurrency"], 3);
    let details = proxy(&injector.admitted(&bookinfo("details-v1")).await);
    assert_eq!(details["image"], "registry.local/mesh/ferromesh-proxy:1.0.0");
    injector.stop().await;
}

#[tokio::test]
async fn pods_that_stay_as_they_are_and_pods_that_are_refused() {
    let (injector, _) = Injector::ready().await;
    let mut pod = bookinfo("reviews-v1");
    pod["spec"]["hostNetwork"] = true.into();
    let response = injector.review(&pod).await;
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null));
    assert_eq!(response["warnings"], json!(["hostNetwork pods are not injected; set sidecar.istio.io/inject=false to accept (FM3004)"]));

    let mut pod = bookinfo("reviews-v1");
    pod["metadata"]["annotations"] = json!({"sidecar.istio.io/proxyCpu": "1", "sidecar.istio.io/logLevel": "debug"});
    let response = injector.review(&pod).await;
    assert_eq!(response["warnings"], json!(["annotation sidecar.istio.io/proxyCpu is unknown: did you mean sidecar.istio.io/proxyCPU?"]));
    assert!(response["patch"].is_string(), "{response}");

    pod["metadata"]["annotations"]["sidecar.istio.io/logLevel"] = "loud".into();
    let response = injector.review(&pod).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(403)));
    let reason = "Pod shop/reviews-v1-5d8f-* annotation sidecar.istio.io/logLevel: \"loud\" is not a log level: use one of trace, debug, \
                  info, warning, error, critical, off";
    assert_eq!(response["status"]["message"], reason);
    for line in ["requests_total 3", "success_total 1", "skip_total 1", "failure_total 1"] {
        assert!(injector.shows(&format!("sidecar_injection_{line}")), "{}", encode_metrics(&injector.registry));
    }
    injector.stop().await;
}

#[tokio::test]
async fn a_namespaces_level_limits_its_pods_from_the_moment_it_is_set() {
    let (injector, api) = Injector::ready().await;
    let mut pod = bookinfo("reviews-v1");
    pod["metadata"]["annotations"] = json!({"sidecar.istio.io/userVolume": r#"{"disk": {"hostPath": {"path": "/"}}}"#});
    assert_eq!(injector.review(&pod).await["allowed"], true, "a namespace that is not known limits nothing");
    let namespace = json!({"metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    api.insert::<Namespace>(&serde_json::from_value(namespace).unwrap());
    eventually_seen("the level is known", async || injector.review(&pod).await["allowed"] == false).await;
    let message = injector.review(&pod).await["status"]["message"].clone();
    assert!(message.as_str().unwrap().contains("asks for hostPath, which namespace shop (Pod Security restricted)"), "{message}");
    pod["metadata"].as_object_mut().unwrap().remove("annotations");
    let warnings = injector.review(&pod).await["warnings"].to_string();
    assert!(warnings.contains("refuses istio-init, which needs NET_ADMIN"), "{warnings}");
    injector.stop().await;
}

#[tokio::test]
async fn the_path_of_the_call_says_which_cluster_asks() {
    let (injector, _) = Injector::ready().await;
    let pod = bookinfo("reviews-v1");
    let (status, answer) = injector.post_to("/inject/cluster/east/net/n--slash--1", review(&pod).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let mut injected = pod.clone();
    let patch: ByteString = serde_json::from_value(answer["response"]["patch"].clone()).unwrap();
    json_patch::patch(&mut injected, &serde_json::from_slice::<json_patch::Patch>(&patch.0).unwrap()).unwrap();
    assert_eq!(injected["metadata"]["labels"]["topology.istio.io/network"], "n/1");
    let env = injected["spec"]["initContainers"][1]["env"].as_array().unwrap();
    let of = |name: &str| env.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].clone());
    assert_eq!((of("ISTIO_META_CLUSTER_ID"), of("ISTIO_META_NETWORK")), (Some("east".into()), Some("n/1".into())));
    injector.stop().await;
}

#[tokio::test]
async fn the_injector_is_ready_once_certificate_settings_and_nodes_are_known() {
    let (injector, _) = Injector::start().await;
    let awaited = |expected: &'static [&str]| move |injector: &Injector| injector.readiness.awaited() == expected;
    let files = awaited(&["mesh configuration and injection values", "serving certificate"]);
    eventually("the nodes are known", || files(&injector)).await;
    injector.write("values", &serde_json::to_string(&template().values).unwrap());
    injector.write("mesh", "noSuchField: 1\n");
    eventually("a bad file is an alarm", || injector.shows("sidecar_injection_settings_refused{file=\"mesh\"} 1")).await;
    injector.write("mesh", "{}\n");
    let certificate = awaited(&["serving certificate"]);
    eventually("the settings are known", || certificate(&injector)).await;
    injector.certify();
    eventually("ready", || injector.readiness.is_ready()).await;
    injector.stop().await;
}

#[tokio::test]
async fn changed_settings_hold_from_the_next_pod_on_and_bad_ones_never() {
    let (injector, _) = Injector::ready().await;
    let pod = bookinfo("details-v1");
    let image = |pod: &Value| pod["spec"]["initContainers"][1]["image"].as_str().map(str::to_owned);
    let mut values = template().values;
    for tag in ["2.0.0", "3.0.0"] {
        values.tag = tag.to_owned();
        injector.write("values", &serde_json::to_string(&values).unwrap());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while image(&injector.admitted(&pod).await) != Some(format!("registry.local/mesh/ferromesh-proxy:{tag}")) {
            assert!(tokio::time::Instant::now() < deadline, "the new tag never held");
        }
        injector.write("values", "{");
        eventually("a bad file is an alarm", || injector.shows("sidecar_injection_settings_refused{file=\"values\"} 1")).await;
        assert_eq!(image(&injector.admitted(&pod).await), Some(format!("registry.local/mesh/ferromesh-proxy:{tag}")));
    }
    injector.stop().await;
}

#[tokio::test]
async fn it_answers_on_while_the_api_server_is_away_and_its_certificate_is_renewed() {
    let (injector, api) = Injector::ready().await;
    api.answer(|_| Some((503, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "away", "code": 503}))));
    api.break_watches();
    for _ in 0..20 {
        injector.certify();
        let injected = injector.admitted(&bookinfo("ratings-v1")).await;
        assert_eq!(injected["spec"]["initContainers"][1]["name"], "istio-proxy", "still native");
    }
    assert!(injector.readiness.is_ready());
    injector.stop().await;
}

#[tokio::test]
async fn hostile_bodies_get_an_error_and_the_next_pod_its_sidecar() {
    let (injector, _) = Injector::ready().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    for body in [String::new(), "\u{0}".to_owned(), "[]".to_owned(), "{\"request\":{}}".to_owned(), deep] {
        assert_eq!(injector.post(body).await.0, StatusCode::BAD_REQUEST);
    }
    for object in [json!(5), json!([]), json!({"metadata": [], "spec": {}}), json!({"metadata": {}, "spec": "x"})] {
        assert_eq!(injector.review(&object).await["allowed"], false, "{object}");
    }
    let mut deletion = review(&json!(null));
    deletion["request"]["operation"] = "DELETE".into();
    assert_eq!(injector.post(deletion.to_string()).await.1["response"]["allowed"], true);
    assert_eq!(injector.admitted(&bookinfo("reviews-v3")).await["spec"]["initContainers"][1]["name"], "istio-proxy");
    injector.stop().await;
}
