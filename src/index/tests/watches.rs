//! The index on an API server.

use ferromesh_crds::{
    authentication::MeshPolicy,
    networking::{DestinationRule, Gateway, ServiceEntry, Sidecar, VirtualService},
    security::PeerAuthentication,
};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Resource,
    api::PostParams,
    core::{ApiResource, DynamicObject},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::timeout;

use super::objects::{external, key, node, object, pod, service, slice};
use crate::index::{IndexConfig, SnapshotSource, service_listing, start};
use crate::model::{Change, Changes, ObjectRef, Snapshot, WorkloadKey};
use crate::runtime::{Readiness, Registry, Tasks, encode_metrics};
use crate::testing::{eventually, fake_api::FakeApi};

/// An index at work.
pub(super) struct Running {
    pub(super) api: FakeApi,
    pub(super) source: SnapshotSource,
    readiness: Readiness,
    pub(super) registry: Registry,
    directory: TempDir,
    _tasks: Tasks,
}

impl Running {
    fn start(api: &FakeApi) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = IndexConfig {
            mesh_config: directory.path().join("mesh"),
            mesh_config_interval: Duration::from_millis(5),
            ..IndexConfig::default()
        };
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let source = start(api.client(), config, &mut tasks, &readiness, &mut registry);
        Self { api: api.clone(), source, readiness, registry, directory, _tasks: tasks }
    }

    pub(super) async fn ready(api: &FakeApi) -> Self {
        let mut running = Self::start(api);
        running.next().await;
        running
    }

    pub(super) async fn next(&mut self) -> (Arc<Snapshot>, Changes) {
        timeout(Duration::from_secs(10), self.source.changed()).await.expect("a snapshot within 10 s").unwrap()
    }

    /// The changes of the next snapshot.
    pub(super) async fn changes(&mut self) -> Changes {
        self.next().await.1
    }

    /// Inserts an object, alters it, deletes it, and expects `expected` each time.
    async fn lives<K>(&mut self, mut object: K, alter: impl FnOnce(&mut K), expected: &[Change])
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let expected: Changes = expected.iter().cloned().collect();
        self.api.insert(&object);
        assert_eq!(self.changes().await, expected, "new {}", K::kind(&()));
        alter(&mut object);
        self.api.insert(&object);
        assert_eq!(self.changes().await, expected, "altered {}", K::kind(&()));
        self.api.delete::<K>(object.meta().namespace.as_deref(), object.meta().name.as_deref().unwrap());
        assert_eq!(self.changes().await, expected, "deleted {}", K::kind(&()));
    }
}

/// A switch for failures of the API server.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicBool>);

impl Broken {
    /// Answers requests for a resource by a failure while this is on.
    fn of(api: &FakeApi, plural: &'static str, code: u16) -> Self {
        let broken = Self::default();
        let on = broken.clone();
        api.answer(move |call| (call.target.plural == plural && on.0.load(Ordering::SeqCst)).then(|| (code, failure(code))));
        broken
    }

    fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }
}

fn failure(code: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "broken", "reason": "Broken", "code": code})
}

fn virtual_service(namespace: &str, name: &str, timeout: &str) -> VirtualService {
    let http = json!([{"route": [{"destination": {"host": name}}], "timeout": timeout}]);
    object(namespace, name, json!({"spec": {"hosts": [name], "http": http}}))
}

fn config(kind: &'static str, name: &str) -> Change {
    Change::Config(ObjectRef::new(kind, "shop", name))
}

#[tokio::test]
async fn the_first_snapshot_is_whole_and_reports_everything() {
    let api = FakeApi::new();
    api.insert(&service("shop", "web"));
    api.insert(&slice("shop", "web", "a", &[("web-1", "10.1.0.1")]));
    api.insert(&pod("shop", "web-1", "10.1.0.1", "web"));
    api.insert(&node("n1", "z"));
    api.insert(&virtual_service("shop", "web", "1s"));
    let mut running = Running::start(&api);
    let (snapshot, changes) = running.next().await;
    let web = key("shop", "web");
    let expected = [
        Change::Mesh,
        Change::Service(web.clone()),
        Change::Endpoints(web.clone()),
        Change::Workload(WorkloadKey::new("shop", "web-1")),
        config("VirtualService", "web"),
    ];
    assert_eq!(changes, Changes::from(expected));
    assert_eq!(&*snapshot.endpoints.get(&web).unwrap()[0].locality, "r/z");
    eventually("readiness", || running.readiness.is_ready()).await;
    let listing = service_listing(&snapshot);
    assert_eq!((&listing[0]["hostname"], &listing[0]["endpoints"]), (&json!("web.shop.svc.cluster.local"), &json!(1)));
}

#[tokio::test]
async fn nothing_is_published_before_every_watch_has_listed() {
    let api = FakeApi::new();
    api.insert(&service("shop", "web"));
    let broken = Broken::of(&api, "pods", 500);
    broken.set(true);
    let mut running = Running::start(&api);
    eventually("all but pods", || running.readiness.awaited() == ["watch of Pod"]).await;
    assert!(running.source.latest().is_none());
    broken.set(false);
    let (snapshot, _) = running.next().await;
    assert_eq!(snapshot.services.size(), 1);
    eventually("readiness", || running.readiness.is_ready()).await;
}

#[tokio::test]
async fn each_object_of_kubernetes_changes_what_it_is_part_of_and_nothing_else() {
    let mut running = Running::ready(&FakeApi::new()).await;
    let web = key("shop", "web");
    let alter_service = |it: &mut Service| it.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].port = 81;
    running.lives(service("shop", "web"), alter_service, &[Change::Service(web.clone())]).await;

    let alter_pod = |it: &mut Pod| _ = it.metadata.labels.as_mut().unwrap().insert("version".to_owned(), "v2".to_owned());
    let workload = Change::Workload(WorkloadKey::new("shop", "web-1"));
    running.lives(pod("shop", "web-1", "10.1.0.1", "web"), alter_pod, std::slice::from_ref(&workload)).await;

    running.api.insert(&service("shop", "web"));
    running.changes().await;
    let alter_slice = |it: &mut EndpointSlice| it.ports.as_mut().unwrap()[0].port = Some(8081);
    running.lives(slice("shop", "web", "a", &[("", "10.9.0.1")]), alter_slice, &[Change::Endpoints(web)]).await;

    running.api.insert(&pod("shop", "web-1", "10.1.0.1", "web"));
    running.changes().await;
    let alter_node = |it: &mut Node| *it = node("n1", "z2");
    running.lives(node("n1", "z1"), alter_node, &[workload]).await;
}

#[tokio::test]
async fn each_object_of_configuration_changes_itself_and_what_it_declares() {
    let mut running = Running::ready(&FakeApi::new()).await;
    let alter = |it: &mut VirtualService| *it = virtual_service("shop", "web", "2s");
    running.lives(virtual_service("shop", "web", "1s"), alter, &[config("VirtualService", "web")]).await;

    let rule = |mode: &str| object("shop", "web", json!({"spec": {"host": "web", "trafficPolicy": {"tls": {"mode": mode}}}}));
    let alter = |it: &mut DestinationRule| *it = rule("ISTIO_MUTUAL");
    running.lives(rule("DISABLE"), alter, &[config("DestinationRule", "web")]).await;

    let gateway = |host: &str| {
        let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]});
        object("shop", "web", json!({"spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]}}))
    };
    let alter = |it: &mut Gateway| *it = gateway("b.example.com");
    running.lives(gateway("a.example.com"), alter, &[config("Gateway", "web")]).await;

    let sidecar = |host: &str| object("shop", "web", json!({"spec": {"egress": [{"hosts": [host]}]}}));
    let alter = |it: &mut Sidecar| *it = sidecar("other/*");
    running.lives(sidecar("./*"), alter, &[config("Sidecar", "web")]).await;

    let policy = |mode: &str| object("shop", "web", json!({"spec": {"mtls": {"mode": mode}}}));
    let alter = |it: &mut PeerAuthentication| *it = policy("PERMISSIVE");
    running.lives(policy("STRICT"), alter, &[config("PeerAuthentication", "web")]).await;

    let entry = |address: &str| {
        let ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
        let spec = json!({"hosts": ["x.example.com"], "ports": ports, "resolution": "STATIC", "endpoints": [{"address": address}]});
        object::<ServiceEntry>("shop", "x", json!({"spec": spec}))
    };
    let x = external("shop", "x.example.com");
    let (service, endpoints, itself) = (Change::Service(x.clone()), Change::Endpoints(x), config("ServiceEntry", "x"));
    let all = Changes::from([service, endpoints.clone(), itself.clone()]);
    running.api.insert(&entry("10.9.0.1"));
    assert_eq!(running.changes().await, all);
    running.api.insert(&entry("10.9.0.2"));
    assert_eq!(running.changes().await, Changes::from([endpoints, itself]));
    running.api.delete::<ServiceEntry>(Some("shop"), "x");
    assert_eq!(running.changes().await, all);
}

#[tokio::test]
async fn an_object_without_a_namespace_comes_and_goes_by_its_name_alone() {
    let mut running = Running::ready(&FakeApi::new()).await;
    let policy = |mode: &str| object::<MeshPolicy>("", "default", json!({"spec": {"peers": [{"mtls": {"mode": mode}}]}}));
    let itself = Changes::from([Change::Config(ObjectRef::new("MeshPolicy", "", "default"))]);
    running.api.insert(&policy("STRICT"));
    assert_eq!(running.changes().await, itself);
    running.api.insert(&policy("PERMISSIVE"));
    assert_eq!(running.changes().await, itself);
    running.api.delete::<MeshPolicy>(None, "default");
    assert_eq!(running.changes().await, itself);
    running.api.insert(&object::<MeshPolicy>("", "other", json!({"spec": {}})));
    let rejected = running.source.rejected();
    eventually("a complaint", || rejected.borrow().contains_key(&ObjectRef::new("MeshPolicy", "", "other"))).await;
}

#[tokio::test]
async fn what_is_not_understood_is_named_and_everything_else_goes_on() {
    let api = FakeApi::new();
    let resource = ApiResource::erase::<VirtualService>(&());
    // A wrong type, which no typed client could even read.
    let bad = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "bad", "namespace": "shop"}, "spec": {"hosts": "web"}});
    let objects: Api<DynamicObject> = Api::namespaced_with(api.client(), "shop", &resource);
    objects.create(&PostParams::default(), &serde_json::from_value(bad).unwrap()).await.unwrap();
    api.insert(&virtual_service("shop", "good", "1s"));

    let mut running = Running::start(&api);
    let (snapshot, _) = running.next().await;
    let names: Vec<_> = snapshot.config.virtual_services.keys().map(|object| &*object.name).collect();
    assert_eq!(names, ["good"]);
    let rejected = running.source.rejected();
    let found = rejected.borrow().get(&ObjectRef::new("VirtualService", "shop", "bad")).unwrap().clone();
    assert!(found.reason.to_string().contains("spec.hosts"), "{}", found.reason);
    let metrics = encode_metrics(&running.registry);
    assert!(metrics.contains("index_rejected_objects{kind=\"VirtualService\"} 1"), "{metrics}");

    running.api.delete::<VirtualService>(Some("shop"), "bad");
    eventually("no complaint any more", || rejected.borrow().is_empty()).await;
    api.insert(&virtual_service("shop", "good", "2s"));
    assert_eq!(running.changes().await, Changes::from([config("VirtualService", "good")]));
}

#[tokio::test]
async fn after_a_gap_exactly_what_differs_is_changed() {
    let api = FakeApi::new();
    for name in ["kept", "altered", "deleted"] {
        api.insert(&service("shop", name));
    }
    let broken = Broken::of(&api, "services", 500);
    let mut running = Running::ready(&api).await;
    let before = running.source.latest().unwrap();

    broken.set(true);
    api.break_watches();
    eventually("the watch's failure", || encode_metrics(&running.registry).contains("index_watch_failing{kind=\"Service\"} 1")).await;
    api.delete::<Service>(Some("shop"), "deleted");
    api.insert(&service("shop", "new"));
    let mut altered = service("shop", "altered");
    altered.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].port = 81;
    api.insert(&altered);
    // The past is forgotten, so that the watch has to list anew.
    api.compact();
    assert_eq!(running.source.latest().unwrap().version, before.version);
    broken.set(false);

    let (after, changes) = running.next().await;
    assert_eq!(changes, ["altered", "deleted", "new"].map(|name| Change::Service(key("shop", name))).into());
    assert!(Arc::ptr_eq(before.services.get(&key("shop", "kept")).unwrap(), after.services.get(&key("shop", "kept")).unwrap()));
    eventually("a working watch", || encode_metrics(&running.registry).contains("index_watch_failing{kind=\"Service\"} 0")).await;
}

#[tokio::test]
async fn of_a_list_whose_stream_ends_in_the_middle_nothing_is_believed_and_it_is_asked_for_again_after_a_while() {
    let api = FakeApi::new();
    api.cut_lists("services", Some(1));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    api.answer(move |call| {
        let listed = call.is_watch() && call.target.plural == "services" && call.query.contains_key("sendInitialEvents");
        count.fetch_add(usize::from(listed), Ordering::SeqCst);
        None
    });
    for name in ["kept", "deleted"] {
        api.insert(&service("shop", name));
    }
    let mut running = Running::start(&api);
    let start = Instant::now();
    eventually("it is asked again and again", || asked.load(Ordering::SeqCst) >= 5).await;
    // A pause after the second, the third and the fourth, of 350 ms together at the least.
    assert!(start.elapsed() > Duration::from_millis(300), "no pause: {:?}", start.elapsed());
    assert!(running.source.latest().is_none() && !running.readiness.is_ready());
    assert!(encode_metrics(&running.registry).contains("index_watch_failing{kind=\"Service\"} 1"));
    api.cut_lists("services", None);
    assert_eq!(running.next().await.0.services.size(), 2, "the first that is known is everything");

    // The same for one that knows the mesh already, and has to list anew.
    let (before, broken) = (running.source.latest().unwrap().version, Broken::of(&api, "services", 500));
    broken.set(true);
    api.break_watches();
    eventually("the watch's failure", || encode_metrics(&running.registry).contains("index_watch_failing{kind=\"Service\"} 1")).await;
    api.delete::<Service>(Some("shop"), "deleted");
    api.insert(&service("shop", "new"));
    api.compact();
    api.cut_lists("services", Some(1));
    let already = asked.load(Ordering::SeqCst);
    broken.set(false);
    eventually("it is listed anew, twice", || asked.load(Ordering::SeqCst) > already + 1).await;
    assert_eq!(running.source.latest().unwrap().version, before, "nothing is taken away");
    api.cut_lists("services", None);
    assert_eq!(running.changes().await, ["deleted", "new"].map(|name| Change::Service(key("shop", name))).into());
}

#[tokio::test]
async fn of_a_list_of_which_only_the_first_page_comes_nothing_is_believed() {
    let api = FakeApi::new();
    api.answer(|call| call.query.contains_key("sendInitialEvents").then(|| (422, failure(422))));
    let (dead, pages) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (dies, count) = (dead.clone(), pages.clone());
    api.answer(move |call| {
        if call.target.plural != "services" || call.is_watch() {
            return None;
        }
        let first = !call.query.contains_key("continue");
        if !first {
            count.fetch_add(1, Ordering::SeqCst);
        }
        if !first && dies.load(Ordering::SeqCst) {
            return Some((500, failure(500)));
        }
        let (name, next) = if first { ("one", "more") } else { ("two", "") };
        let mut item = serde_json::to_value(service("shop", name)).unwrap();
        item["metadata"]["resourceVersion"] = json!("1");
        let metadata = json!({"resourceVersion": "1", "continue": next});
        Some((200, json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": metadata, "items": [item]})))
    });
    let mut running = Running::start(&api);
    eventually("the second page is asked for twice", || pages.load(Ordering::SeqCst) >= 2).await;
    assert!(running.source.latest().is_none() && !running.readiness.is_ready());
    dead.store(false, Ordering::SeqCst);
    assert_eq!(running.next().await.0.services.size(), 2);
}

#[tokio::test]
async fn a_kind_that_the_cluster_lacks_is_empty_until_it_comes() {
    let api = FakeApi::new();
    let absent = Broken::of(&api, "sidecars", 404);
    absent.set(true);
    let mut running = Running::ready(&api).await;
    absent.set(false);
    api.insert(&object::<Sidecar>("shop", "web", json!({"spec": {"egress": [{"hosts": ["./*"]}]}})));
    assert_eq!(running.changes().await, Changes::from([config("Sidecar", "web")]));
}

#[tokio::test]
async fn a_server_that_does_not_stream_lists_is_asked_in_the_old_way() {
    let api = FakeApi::new();
    api.insert(&service("shop", "web"));
    api.answer(|call| call.query.contains_key("sendInitialEvents").then(|| (422, failure(422))));
    let mut running = Running::start(&api);
    assert_eq!(running.next().await.0.services.size(), 1);
    api.insert(&service("shop", "two"));
    assert_eq!(running.changes().await, Changes::from([Change::Service(key("shop", "two"))]));
}

#[tokio::test]
async fn settings_of_the_mesh_are_read_again_when_they_change() {
    let api = FakeApi::new();
    api.insert(&pod("shop", "web-1", "10.1.0.1", "web"));
    let mut running = Running::ready(&api).await;
    fs::write(running.directory.path().join("mesh"), "trustDomain: shop.example\n").unwrap();
    let (snapshot, changes) = running.next().await;
    let web_1 = WorkloadKey::new("shop", "web-1");
    assert_eq!(changes, Changes::from([Change::Mesh, Change::Workload(web_1.clone())]));
    assert_eq!(snapshot.workloads.get(&web_1).unwrap().identity.to_string(), "spiffe://shop.example/ns/shop/sa/web");
}
