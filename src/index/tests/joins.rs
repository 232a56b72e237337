//! How Services, slices, pods, nodes and ServiceEntries come together.

use ferromesh_crds::{
    catalog,
    networking::{ServiceEntry, VirtualService, WorkloadEntry},
};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::core::PartialObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::objects::{external, key, node, object, pod, service, slice, view};
use crate::config::ParseContext;
use crate::index::{
    Purpose,
    cluster::Cluster,
    update::{self, Fact, Update},
};
use crate::model::{Change, Changes, Endpoint, Health, MeshConfig, ObjectRef, Resolution, ServiceKey, Snapshot, WorkloadKey};

/// A cluster that is told objects instead of watching them.
#[derive(Default)]
pub(super) struct Told(Cluster);

pub(super) trait Object {
    fn fact(&self) -> Fact;
}

impl Object for Service {
    fn fact(&self) -> Fact {
        update::service(self, "cluster.local")
    }
}

impl Object for EndpointSlice {
    fn fact(&self) -> Fact {
        update::slice(self)
    }
}

impl Object for Pod {
    fn fact(&self) -> Fact {
        update::pod(&view(self))
    }
}

impl Object for Node {
    fn fact(&self) -> Fact {
        update::node(&PartialObjectMeta { metadata: self.metadata.clone(), ..PartialObjectMeta::default() })
    }
}

impl Object for ServiceEntry {
    fn fact(&self) -> Fact {
        config_fact("ServiceEntry", self)
    }
}

impl Object for WorkloadEntry {
    fn fact(&self) -> Fact {
        config_fact("WorkloadEntry", self)
    }
}

impl Object for VirtualService {
    fn fact(&self) -> Fact {
        config_fact("VirtualService", self)
    }
}

fn config_fact(kind: &str, object: &impl Serialize) -> Fact {
    let object = serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap();
    update::config(catalog::find("networking.istio.io", kind).unwrap(), object, &ParseContext::default(), Purpose::Traffic)
}

impl Told {
    pub(super) fn with(objects: &[&dyn Object]) -> Self {
        let mut told = Self::default();
        objects.iter().for_each(|object| told.0.take_in(Update::One(object.fact())));
        told.0.settle();
        told
    }

    pub(super) fn now(&mut self, object: &dyn Object) -> Changes {
        self.0.take_in(Update::One(object.fact()));
        self.0.settle().1
    }

    pub(super) fn gone(&mut self, object: &dyn Object) -> Changes {
        self.0.take_in(Update::One(object.fact().gone()));
        self.0.settle().1
    }

    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.0.settle().0
    }

    pub(super) fn endpoints(&mut self, key: &ServiceKey) -> Vec<Endpoint> {
        self.snapshot().endpoints.get(key).map(|endpoints| endpoints.to_vec()).unwrap_or_default()
    }

    /// `address:port/service port` of each endpoint.
    pub(super) fn addresses(&mut self, key: &ServiceKey) -> Vec<String> {
        self.endpoints(key).iter().map(|it| format!("{}:{}/{}", it.address, it.port, it.service_port)).collect()
    }
}

pub(super) fn entry(namespace: &str, name: &str, spec: Value) -> ServiceEntry {
    object(namespace, name, json!({"spec": spec}))
}

fn workload(namespace: &str, name: &str) -> Change {
    Change::Workload(WorkloadKey::new(namespace, name))
}

#[test]
fn an_endpoint_is_what_its_pod_is() {
    let told = [&service("shop", "web") as &dyn Object, &pod("shop", "web-1", "10.1.0.1", "web"), &node("n1", "z")];
    let mut slice = slice("shop", "web", "a", &[("web-1", "10.1.0.1")]);
    slice.endpoints[0].hostname = Some("web-1".to_owned());
    let mut told = Told::with(&[&told[..], &[&slice]].concat());
    let [endpoint] = &told.endpoints(&key("shop", "web"))[..] else { panic!("one endpoint") };
    assert_eq!((&*endpoint.address, endpoint.port, &*endpoint.service_port), ("10.1.0.1", 8080, "http"));
    assert_eq!(endpoint.identity.as_ref().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!((endpoint.mtls, &*endpoint.locality, endpoint.weight, endpoint.health), (true, "r/z", 1, Health::Healthy));
    assert_eq!(endpoint.labels["app"], "web");
    assert_eq!((&endpoint.workload, endpoint.hostname.as_deref()), (&Some(WorkloadKey::new("shop", "web-1")), Some("web-1")));
}

#[test]
fn an_endpoint_waits_for_its_pod_and_goes_with_it() {
    let web_1 = pod("shop", "web-1", "10.1.0.1", "web");
    let mut told = Told::with(&[&service("shop", "web"), &slice("shop", "web", "a", &[("web-1", "10.1.0.1")])]);
    assert!(told.addresses(&key("shop", "web")).is_empty());
    let both = Changes::from([workload("shop", "web-1"), Change::Endpoints(key("shop", "web"))]);
    assert_eq!(told.now(&web_1), both);
    assert_eq!(told.addresses(&key("shop", "web")), ["10.1.0.1:8080/http"]);
    assert_eq!(told.now(&web_1), Changes::new());
    assert_eq!(told.gone(&web_1), both);
    assert!(told.addresses(&key("shop", "web")).is_empty());
}

#[test]
fn a_pod_that_turns_out_finished_is_gone() {
    let mut finished = pod("shop", "web-1", "10.1.0.1", "web");
    let mut told = Told::with(&[&finished]);
    finished.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    assert_eq!(told.now(&finished), Changes::from([workload("shop", "web-1")]));
    assert!(told.snapshot().addresses.is_empty());
}

#[test]
fn slices_of_a_service_are_one_sorted_list_without_repetition() {
    let pods = [pod("shop", "web-1", "10.1.0.1", "web"), pod("shop", "web-2", "10.1.0.2", "web")];
    let mut ending = slice("shop", "web", "b", &[("web-1", "10.1.0.1")]);
    ending.endpoints[0].conditions = Some(serde_json::from_value(json!({"ready": false})).unwrap());
    let both = slice("shop", "web", "c", &[("web-2", "10.1.0.2"), ("web-1", "10.1.0.1")]);
    let mut told = Told::with(&[&pods[0], &pods[1], &service("shop", "web"), &ending, &both]);
    assert_eq!(told.addresses(&key("shop", "web")), ["10.1.0.1:8080/http", "10.1.0.2:8080/http"]);
    assert!(told.endpoints(&key("shop", "web")).iter().all(|endpoint| endpoint.health == Health::Healthy));
    told.gone(&both);
    assert_eq!(told.endpoints(&key("shop", "web"))[0].health, Health::Unhealthy);
}

#[test]
fn ports_that_the_service_does_not_have_are_left_out() {
    let mut web = service("shop", "web");
    let mut told = Told::with(&[&web, &slice("shop", "web", "a", &[("", "10.9.0.1")])]);
    assert_eq!(told.addresses(&key("shop", "web")), ["10.9.0.1:8080/http"]);
    web.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].name = Some("other".to_owned());
    assert_eq!(told.now(&web), Changes::from([Change::Service(key("shop", "web")), Change::Endpoints(key("shop", "web"))]));
    assert!(told.addresses(&key("shop", "web")).is_empty());
}

#[test]
fn an_address_in_a_handmade_slice_is_a_pods_of_the_same_namespace_or_nobodys() {
    let by_address = slice("shop", "web", "a", &[("", "10.1.0.1")]);
    let mut told = Told::with(&[&service("shop", "web"), &by_address]);
    assert_eq!(told.endpoints(&key("shop", "web"))[0].workload, None);
    told.now(&pod("other", "x", "10.1.0.1", "x"));
    assert_eq!(told.endpoints(&key("shop", "web"))[0].workload, None);
    told.gone(&pod("other", "x", "10.1.0.1", "x"));
    told.now(&pod("shop", "web-1", "10.1.0.1", "web"));
    assert_eq!(told.endpoints(&key("shop", "web"))[0].workload, Some(WorkloadKey::new("shop", "web-1")));
}

#[test]
fn a_host_networks_address_is_nobodys() {
    let mut agent = pod("kube-system", "agent", "192.168.0.1", "agent");
    agent.spec.as_mut().unwrap().host_network = Some(true);
    let mut told = Told::with(&[&agent]);
    assert!(told.snapshot().addresses.is_empty());
    assert!(told.snapshot().workloads.contains_key(&WorkloadKey::new("kube-system", "agent")));
}

#[test]
fn an_address_that_moves_to_a_newer_pod_stays_there_when_the_older_one_goes() {
    let mut told = Told::with(&[&pod("shop", "old", "10.1.0.1", "web"), &pod("shop", "new", "10.1.0.1", "web")]);
    told.gone(&pod("shop", "old", "10.1.0.1", "web"));
    assert_eq!(told.snapshot().workload_at(&"10.1.0.1".parse().unwrap()).unwrap().key, WorkloadKey::new("shop", "new"));
}

#[test]
fn a_nodes_locality_reaches_its_pods_and_their_endpoints() {
    let mut told = Told::with(&[
        &service("shop", "web"),
        &slice("shop", "web", "a", &[("web-1", "10.1.0.1")]),
        &pod("shop", "web-1", "10.1.0.1", "web"),
    ]);
    let both = Changes::from([workload("shop", "web-1"), Change::Endpoints(key("shop", "web"))]);
    assert_eq!(told.now(&node("n1", "z")), both);
    assert_eq!(&*told.endpoints(&key("shop", "web"))[0].locality, "r/z");
    assert_eq!(told.now(&node("n2", "z")), Changes::new());
    assert_eq!(told.gone(&node("n1", "z")), both);
}

#[test]
fn a_new_trust_domain_renames_everybody() {
    let mut told = Told::with(&[
        &service("shop", "web"),
        &slice("shop", "web", "a", &[("web-1", "10.1.0.1")]),
        &pod("shop", "web-1", "10.1.0.1", "web"),
    ]);
    let mesh = MeshConfig { trust_domain: "shop.example".to_owned(), ..MeshConfig::default() };
    told.0.take_in(Update::Mesh(Arc::new(mesh)));
    let (_, changes) = told.0.settle();
    assert_eq!(changes, Changes::from([Change::Mesh, workload("shop", "web-1"), Change::Endpoints(key("shop", "web"))]));
    let identity = told.endpoints(&key("shop", "web"))[0].identity.clone().unwrap();
    assert_eq!(identity.to_string(), "spiffe://shop.example/ns/shop/sa/web");
}

#[test]
fn one_pods_change_touches_its_own_services_among_ten_thousand_endpoints() {
    let mut told = Told::default();
    let address = |service: usize, pod: usize| format!("10.{}.{}.{pod}", service / 250, service % 250);
    for number in 0..1000 {
        let name = format!("s{number}");
        let pods: Vec<_> = (1..=10).map(|pod| (format!("{name}-{pod}"), address(number, pod))).collect();
        let refs: Vec<_> = pods.iter().map(|(pod, address)| (pod.as_str(), address.as_str())).collect();
        told.0.take_in(Update::One(service("shop", &name).fact()));
        told.0.take_in(Update::One(slice("shop", &name, "a", &refs).fact()));
        refs.iter().for_each(|(pod_name, address)| told.0.take_in(Update::One(pod("shop", pod_name, address, &name).fact())));
    }
    let (snapshot, _) = told.0.settle();
    assert_eq!(snapshot.endpoints.values().map(|endpoints| endpoints.len()).sum::<usize>(), 10_000);
    let changes = told.now(&pod("shop", "s7-3", &address(7, 3), "renamed"));
    assert_eq!(changes, Changes::from([workload("shop", "s7-3"), Change::Endpoints(key("shop", "s7"))]));
}

#[test]
fn a_service_entry_is_a_service_a_host_with_the_endpoints_that_it_names() {
    let spec = json!({
        "hosts": ["a.example.com", "b.example.com"], "addresses": ["10.5.0.1", "10.6.0.0/16"], "resolution": "STATIC", "location": "MESH_INTERNAL",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}, {"number": 443, "name": "tls", "protocol": "TLS"}],
        "endpoints": [
            {"address": "10.9.0.2", "ports": {"http": 8888}, "labels": {"security.istio.io/tlsMode": "istio"}, "serviceAccount": "vm", "weight": 3},
            {"address": "10.9.0.1", "locality": "r/z"},
        ],
    });
    let mut told = Told::with(&[&entry("shop", "vms", spec)]);
    let (a, b) = (external("shop", "a.example.com"), external("shop", "b.example.com"));
    let all = ["10.9.0.1:443/tls", "10.9.0.1:8080/http", "10.9.0.2:443/tls", "10.9.0.2:8888/http"];
    assert_eq!(told.addresses(&a), all);
    assert_eq!(told.addresses(&b), all);
    let vm = &told.endpoints(&a)[3];
    assert_eq!(vm.identity.as_ref().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/vm");
    assert_eq!((vm.mtls, vm.weight), (true, 3));
    let snapshot = told.snapshot();
    let service = snapshot.services.get(&a).unwrap();
    assert_eq!(service.addresses, ["10.5.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(service.ranges, ["10.6.0.0/16".parse::<ipnet::IpNet>().unwrap()]);
    assert_eq!((service.external, service.resolution), (false, Resolution::Eds));
}

#[test]
fn a_host_that_dns_resolves_is_its_own_endpoint() {
    let ports = json!([{"number": 443, "name": "https", "protocol": "HTTPS"}]);
    let mut told = Told::with(&[&entry("shop", "api", json!({"hosts": ["api.example.com"], "resolution": "DNS", "ports": ports}))]);
    assert_eq!(told.addresses(&external("shop", "api.example.com")), ["api.example.com:443/https"]);
    let mut outside = service("shop", "alias");
    outside.spec =
        Some(serde_json::from_value(json!({"type": "ExternalName", "externalName": "api.example.com", "ports": [{"port": 443}]})).unwrap());
    told.now(&outside);
    assert_eq!(told.addresses(&key("shop", "alias")), ["api.example.com:443/"]);
}

#[test]
fn a_service_entry_may_select_ready_pods_of_its_namespace() {
    let spec = json!({
        "hosts": ["db.example.com"], "resolution": "STATIC", "location": "MESH_INTERNAL", "workloadSelector": {"labels": {"app": "db"}},
        "ports": [{"number": 5432, "name": "tcp", "protocol": "TCP", "targetPort": 15432}],
    });
    let db = external("shop", "db.example.com");
    let mut first = pod("shop", "db-1", "10.1.0.1", "db");
    let mut told = Told::with(&[&entry("shop", "db", spec), &first, &pod("other", "db-1", "10.2.0.1", "db")]);
    assert_eq!(told.addresses(&db), ["10.1.0.1:15432/tcp"]);
    assert_eq!(told.now(&pod("shop", "db-2", "10.1.0.2", "db")), Changes::from([workload("shop", "db-2"), Change::Endpoints(db.clone())]));
    assert_eq!(
        told.now(&pod("shop", "db-2", "10.1.0.2", "no-db")),
        Changes::from([workload("shop", "db-2"), Change::Endpoints(db.clone())])
    );
    assert_eq!(told.now(&pod("shop", "db-2", "10.1.0.2", "nodb")), Changes::from([workload("shop", "db-2")]));
    first.status.as_mut().unwrap().conditions = None;
    assert_eq!(told.now(&first), Changes::from([Change::Endpoints(db.clone())]));
    assert!(told.addresses(&db).is_empty());
}

#[test]
fn objects_that_declare_the_same_host_in_a_namespace_share_it_and_the_senior_wins() {
    let ports = |ports: &[(u16, &str)]| {
        ports.iter().map(|(number, name)| json!({"number": number, "name": name, "protocol": "TCP"})).collect::<Value>()
    };
    let of = |name: &str, created: &str, given: &[(u16, &str)], address: &str| {
        let spec = json!({"hosts": ["x.example.com"], "resolution": "STATIC", "ports": ports(given), "endpoints": [{"address": address}]});
        object::<ServiceEntry>("shop", name, json!({"metadata": {"creationTimestamp": created}, "spec": spec}))
    };
    let old = of("old", "2020-01-01T00:00:00Z", &[(80, "a"), (81, "b")], "10.9.0.1");
    let new = of("new", "2021-01-01T00:00:00Z", &[(80, "other"), (82, "c"), (81, "b")], "10.9.0.2");
    let x = external("shop", "x.example.com");
    let mut told = Told::with(&[&new, &old]);
    let names = |snapshot: &Snapshot| snapshot.services.get(&x).unwrap().ports.iter().map(|port| port.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&told.snapshot()), ["a", "b", "c"]);
    assert_eq!(told.addresses(&x), ["10.9.0.1:80/a", "10.9.0.1:81/b", "10.9.0.2:81/b", "10.9.0.2:82/c"]);
    told.gone(&old);
    assert_eq!(names(&told.snapshot()), ["other", "c", "b"]);
}

#[test]
fn a_service_entry_can_add_to_a_service_but_not_replace_it() {
    let spec = |resolution: &str| {
        json!({
            "hosts": ["web.shop.svc.cluster.local"], "resolution": resolution, "location": "MESH_INTERNAL",
            "ports": [{"number": 80, "name": "http", "protocol": "TCP"}],
            "endpoints": [{"address": "10.9.0.1"}],
        })
    };
    let web = key("shop", "web");
    let old = json!({"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z"}, "spec": spec("STATIC")});
    let mut told = Told::with(&[&service("shop", "web"), &object::<ServiceEntry>("shop", "web", old)]);
    assert_eq!(told.snapshot().services.get(&web).unwrap().origin, ObjectRef::new("Service", "shop", "web"));
    assert_eq!(told.addresses(&web), ["10.9.0.1:80/http"]);
    told.now(&entry("shop", "web", spec("DNS")));
    assert!(told.addresses(&web).is_empty());
}

#[test]
fn an_object_that_is_not_understood_is_left_out_and_named_until_it_is() {
    let of = |weight: i32| -> VirtualService {
        let route = json!([{"destination": {"host": "web"}, "weight": weight}, {"destination": {"host": "web"}, "weight": 50}]);
        object("shop", "web", json!({"metadata": {"generation": weight}, "spec": {"hosts": ["web"], "http": [{"route": route}]}}))
    };
    let name = ObjectRef::new("VirtualService", "shop", "web");
    let mut told = Told::with(&[&of(50)]);
    assert!(told.0.news_of_rejected().is_none());
    assert_eq!(told.now(&of(-1)), Changes::from([Change::Config(name.clone())]));
    assert!(told.snapshot().config.virtual_services.is_empty());
    let rejected = told.0.news_of_rejected().unwrap();
    let reason = rejected.get(&name).unwrap().reason.to_string();
    assert!(reason.contains("spec.http[0].route[0].weight"), "{reason}");
    assert_eq!(told.now(&of(50)), Changes::from([Change::Config(name)]));
    assert!(told.0.news_of_rejected().unwrap().is_empty());
}
