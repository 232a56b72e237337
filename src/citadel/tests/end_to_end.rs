//! Citadel's tasks on a fake API server, asked over real TLS.

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::citadel::{CitadelConfig, start};
use crate::runtime::{
    CertificateSource, IdentityClient, IdentityConfig, IdentityError, Listener, Readiness, Registry, Shutdown, TaskError, Tasks, Trigger,
    encode_metrics,
};
use crate::testing::{TestCa, eventually, fake_api::FakeApi, make_lease, review_tokens};

const MAP: &str = "istio-ca-root-cert";

/// A cluster with the namespaces istio-system and shop, in which the tokens `NAMESPACE/ACCOUNT` are good. The operator has made the lease.
fn cluster() -> FakeApi {
    let api = FakeApi::new();
    make_lease(&api, "istio-citadel");
    for namespace in ["shop", "istio-system"] {
        api.insert(&named_namespace(namespace));
    }
    review_tokens(&api);
    api
}

fn named_namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

struct Citadel {
    api: FakeApi,
    address: SocketAddr,
    readiness: Readiness,
    registry: Registry,
    stop: Trigger,
    task: JoinHandle<Result<(), TaskError>>,
}

// === impl Citadel ===

impl Citadel {
    async fn start(api: &FakeApi, pod: &str) -> Self {
        let owner = OwnerReference {
            api_version: "install.ferromesh.dev/v1alpha1".to_owned(),
            kind: "MeshInstall".to_owned(),
            name: "mesh".to_owned(),
            uid: "u-1".to_owned(),
            ..OwnerReference::default()
        };
        let config = CitadelConfig {
            namespace: "istio-system".to_owned(),
            pod: pod.to_owned(),
            trust_domain: "cluster.local".to_owned(),
            default_lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(3600),
            owner: Some(owner),
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
        Self { api: api.clone(), address, readiness, registry, stop, task }
    }

    async fn ready(api: &FakeApi, pod: &str) -> Self {
        let citadel = Self::start(api, pod).await;
        tokio::time::timeout(Duration::from_secs(20), citadel.readiness.ready()).await.expect("ready");
        citadel
    }

    async fn stop(self) {
        self.stop.request();
        self.task.await.unwrap().unwrap();
    }

    fn metric(&self, line: &str) -> bool {
        encode_metrics(&self.registry).lines().any(|shown| shown == line)
    }

    /// A pod with this token, and the root as citadel put it into namespace shop.
    fn pod(&self, token: &str, lifetime: Duration) -> Pod {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("token"), token).unwrap();
        fs::write(files.path().join("root"), root_in(&self.api, "istio-system").unwrap()).unwrap();
        let config = IdentityConfig {
            address: self.address.to_string(),
            server_name: Some("istio-citadel.istio-system.svc".to_owned()),
            token_file: files.path().join("token"),
            root_file: files.path().join("root"),
            lifetime,
        };
        let mut registry = Registry::default();
        let (client, source) = IdentityClient::new(config, &mut registry);
        let (stop, shutdown) = Shutdown::channel();
        Pod { task: tokio::spawn(client.run(shutdown)), source, registry, stop, _files: files }
    }
}

struct Pod {
    source: CertificateSource,
    registry: Registry,
    stop: Trigger,
    task: JoinHandle<Result<(), IdentityError>>,
    _files: TempDir,
}

fn root_in(api: &FakeApi, namespace: &str) -> Option<String> {
    api.get::<ConfigMap>(Some(namespace), MAP)?.data?.remove("root-cert.pem")
}

fn secret(name: &str, ca: &TestCa, key: &TestCa) -> Secret {
    let entry = |key: &str, text: String| (key.to_owned(), ByteString(text.into_bytes()));
    Secret {
        metadata: serde_json::from_value(json!({"name": name, "namespace": "istio-system"})).unwrap(),
        data: Some(BTreeMap::from([entry("ca-cert.pem", ca.pem()), entry("ca-key.pem", key.key_pem()), entry("root-cert.pem", ca.pem())])),
        ..Secret::default()
    }
}

#[tokio::test]
async fn a_pod_gets_the_identity_that_its_token_proves_and_renews_it_without_a_failure() {
    let citadel = Citadel::ready(&cluster(), "a").await;
    let mut pod = citadel.pod("shop/web", Duration::from_secs(2));
    let mut serials = Vec::new();
    for _ in 0..4 {
        let certificate = pod.source.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert_eq!(certificate.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/web");
        assert!(certificate.not_after > std::time::SystemTime::now(), "renewed before it ended");
        serials.push(certificate.chain_pem.clone());
        tokio::time::timeout(Duration::from_secs(10), pod.source.changed()).await.expect("renewed").unwrap();
    }
    serials.dedup();
    assert_eq!(serials.len(), 4);
    let page = encode_metrics(&pod.registry);
    assert!(!page.contains("failure"), "{page}");
    pod.stop.request();
    pod.task.await.unwrap().unwrap();
    citadel.stop().await;
}

#[tokio::test]
async fn callers_without_a_proven_identity_get_nothing() {
    let api = cluster();
    let citadel = Citadel::ready(&api, "a").await;
    for token in ["expired", "!shop/web"] {
        let pod = citadel.pod(token, Duration::from_secs(60));
        let failed = || encode_metrics(&pod.registry).contains("result=\"failure\"");
        eventually("the request is refused", failed).await;
        assert!(pod.source.borrow().is_none());
    }
    eventually("refusals are counted", || {
        let page = encode_metrics(&citadel.registry);
        page.lines().any(|line| line.starts_with("citadel_csr_total{result=\"unauthenticated\"}"))
    })
    .await;
    let reviews: Vec<Value> = api.calls().into_iter().filter(|call| call.target.plural == "tokenreviews").map(|call| call.body).collect();
    assert!(reviews.iter().all(|review| review["spec"]["audiences"] == json!(["istio-ca"])), "{reviews:?}");
    citadel.stop().await;
}

#[tokio::test]
async fn two_replicas_and_a_restart_share_one_root() {
    let api = cluster();
    let (first, second) = tokio::join!(Citadel::ready(&api, "a"), Citadel::ready(&api, "b"));
    let root = root_in(&api, "istio-system").unwrap();
    for citadel in [&first, &second] {
        let mut pod = citadel.pod("shop/web", Duration::from_secs(60));
        pod.source.wait_for(Option::is_some).await.unwrap();
    }
    tokio::join!(first.stop(), second.stop());
    let third = Citadel::ready(&api, "c").await;
    assert_eq!(root_in(&api, "istio-system").unwrap(), root);
    assert_eq!(api.list::<Secret>().len(), 1);
    assert_eq!(api.list::<Secret>()[0].type_.as_deref(), Some("istio.io/ca-root"));
    third.stop().await;
}

#[tokio::test]
async fn a_key_that_is_not_its_certificates_is_refused_and_the_old_root_stays() {
    let api = cluster();
    let citadel = Citadel::ready(&api, "a").await;
    let root = root_in(&api, "shop");
    let (new, other) = (TestCa::new("new"), TestCa::new("other"));
    api.insert(&secret("cacerts", &new, &other));
    eventually("the alarm", || citadel.metric("citadel_root_refused 1")).await;
    let mut pod = citadel.pod("shop/web", Duration::from_secs(60));
    pod.source.wait_for(Option::is_some).await.unwrap();
    assert_eq!(root_in(&api, "shop"), root);
    // Put right, it is taken; and it comes before citadel's own.
    api.insert(&secret("cacerts", &new, &new));
    eventually("the plugged-in root in every namespace", || {
        ["shop", "istio-system"].iter().all(|namespace| root_in(&api, namespace).as_deref() == Some(&new.pem()))
    })
    .await;
    eventually("the alarm is over", || citadel.metric("citadel_root_refused 0")).await;
    let mut pod = citadel.pod("shop/web", Duration::from_secs(60));
    pod.source.wait_for(Option::is_some).await.unwrap();
    citadel.stop().await;
}

#[tokio::test]
async fn a_deleted_root_secret_comes_back_as_it_was() {
    let api = cluster();
    let citadel = Citadel::ready(&api, "a").await;
    let before = api.get::<Secret>(Some("istio-system"), "istio-ca-secret").unwrap().data;
    api.delete::<Secret>(Some("istio-system"), "istio-ca-secret");
    eventually("the Secret is back", || api.get::<Secret>(Some("istio-system"), "istio-ca-secret").is_some()).await;
    assert_eq!(api.get::<Secret>(Some("istio-system"), "istio-ca-secret").unwrap().data, before);
    citadel.stop().await;
}

#[tokio::test]
async fn the_root_is_in_every_namespace_its_own_first_and_comes_back_within_two_seconds() {
    let api = cluster();
    api.insert(&named_namespace("a-first-by-name"));
    let mut going = named_namespace("going");
    going.metadata.finalizers = Some(vec!["x/y".to_owned()]);
    api.insert(&going);
    api.delete::<Namespace>(None, "going");
    let citadel = Citadel::ready(&api, "a").await;
    eventually("the root everywhere", || api.list::<ConfigMap>().len() == 3).await;
    let writes: Vec<_> = api.calls().into_iter().filter(|c| c.is_write() && c.target.plural == "configmaps").collect();
    assert_eq!(writes[0].target.namespace.as_deref(), Some("istio-system"));
    assert!(writes.iter().all(|call| call.target.namespace.as_deref() != Some("going")));
    let map = api.get::<ConfigMap>(Some("shop"), MAP).unwrap();
    assert_eq!(map.metadata.owner_references.unwrap()[0].kind, "MeshInstall");

    let root = root_in(&api, "shop");
    let repaired = async |broken: &dyn Fn()| {
        broken();
        assert_ne!(root_in(&api, "shop"), root);
        let started = Instant::now();
        eventually("repaired", || root_in(&api, "shop") == root).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    };
    repaired(&|| api.delete::<ConfigMap>(Some("shop"), MAP)).await;
    repaired(&|| {
        let mut edited = api.get::<ConfigMap>(Some("shop"), MAP).unwrap();
        edited.data = Some(BTreeMap::from([("root-cert.pem".to_owned(), "mine".to_owned())]));
        api.insert(&edited);
    })
    .await;
    api.insert(&named_namespace("later"));
    eventually("the root in a new namespace", || root_in(&api, "later") == root).await;

    // At rest nothing is written.
    api.break_watches();
    let writes = || api.calls().iter().filter(|call| call.is_write() && call.target.plural == "configmaps").count();
    let before = writes();
    api.insert(&named_namespace("last"));
    eventually("the root in the last namespace", || root_in(&api, "last") == root).await;
    assert_eq!(writes(), before + 1);
    citadel.stop().await;
}

#[tokio::test]
async fn citadel_is_not_ready_before_its_own_namespace_has_the_root() {
    let api = cluster();
    api.answer(|call| {
        let denied =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403});
        (call.is_write() && call.target.plural == "configmaps").then_some((403, denied))
    });
    let citadel = Citadel::start(&api, "a").await;
    eventually("only the ConfigMap is awaited", || citadel.readiness.awaited() == ["root in own namespace"]).await;
    eventually("the failure is counted", || !citadel.metric("citadel_roots_failed_total 0")).await;
    assert!(!citadel.readiness.is_ready());
    citadel.stop().await;
}
