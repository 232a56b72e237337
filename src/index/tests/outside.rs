//! WorkloadEntries among the endpoints, and addresses that are given to hosts.

use ferromesh_crds::networking::{ServiceEntry, WorkloadEntry};
use serde_json::{Value, json};

use super::{
    joins::{Told, entry},
    objects::{external, key, object, pod, service, slice},
};
use crate::model::{Change, Changes, ObjectRef, ServiceKey};

fn machine(namespace: &str, name: &str, app: &str, spec: Value) -> WorkloadEntry {
    object(namespace, name, json!({"metadata": {"labels": {"app": app}}, "spec": spec}))
}

#[test]
fn workload_entries_are_endpoints_of_whoever_selects_them_in_their_namespace() {
    let spec = json!({
        "hosts": ["web.example.com"], "resolution": "STATIC", "location": "MESH_INTERNAL", "workloadSelector": {"labels": {"app": "web"}},
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
    });
    let (inside, outside) = (key("shop", "web"), external("shop", "web.example.com"));
    let vm = |app| {
        machine(
            "shop",
            "vm",
            app,
            json!({"address": "10.9.0.1", "ports": {"http": 8888}, "serviceAccount": "vm", "labels": {"app": "old"}}),
        )
    };
    let mut told = Told::with(&[
        &service("shop", "web"),
        &pod("shop", "web-1", "10.1.0.1", "web"),
        &slice("shop", "web", "a", &[("web-1", "10.1.0.1")]),
        &entry("shop", "web", spec),
        &vm("web"),
        &machine("shop", "plain", "web", json!({"address": "10.9.0.2"})),
        &machine("other", "vm", "web", json!({"address": "10.9.0.3"})),
    ]);
    assert_eq!(told.addresses(&inside), ["10.1.0.1:8080/http", "10.9.0.1:8888/http", "10.9.0.2:80/http"]);
    assert_eq!(told.addresses(&outside), ["10.1.0.1:8080/http", "10.9.0.1:8888/http", "10.9.0.2:8080/http"]);
    let endpoints = told.endpoints(&inside);
    assert_eq!(endpoints[1].identity.as_ref().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/vm");
    // Who has an identity answers mTLS, unless its label says otherwise.
    assert_eq!((endpoints[1].mtls, endpoints[2].mtls), (true, false));
    let object = Change::Config(ObjectRef::new("WorkloadEntry", "shop", "vm"));
    let changes = Changes::from([object.clone(), Change::Endpoints(inside.clone()), Change::Endpoints(outside.clone())]);
    assert_eq!(told.now(&vm("no-web")), changes);
    assert_eq!(told.now(&vm("nobody")), Changes::from([object]));
    assert_eq!(told.addresses(&inside), ["10.1.0.1:8080/http", "10.9.0.2:80/http"]);
    assert_eq!(told.now(&vm("web")), changes);
    assert_eq!(told.gone(&vm("web")), changes);
}

#[test]
fn machines_behind_their_networks_gateway_need_no_address_and_may_share_one() {
    let of = |resolution: &str| {
        let ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
        json!({"hosts": ["a.example.com"], "resolution": resolution, "ports": ports, "workloadSelector": {"labels": {"app": "a"}}})
    };
    let entry_of = |resolution: &str| entry("shop", "a", of(resolution));
    let key = external("shop", "a.example.com");
    let machines = [
        machine("shop", "one", "a", json!({"network": "far"})),
        machine("shop", "two", "a", json!({"network": "far"})),
        machine("shop", "three", "a", json!({"network": "far", "address": "10.9.0.1"})),
        machine("shop", "four", "a", json!({"network": "farther", "address": "10.9.0.1", "labels": {"topology.istio.io/network": "no"}})),
    ];
    let mut told = Told::with(&[&entry_of("STATIC"), &machines[0], &machines[1], &machines[2], &machines[3]]);
    assert_eq!(told.addresses(&key), [":80/http", ":80/http", "10.9.0.1:80/http", "10.9.0.1:80/http"]);
    let networks: Vec<String> = told.endpoints(&key).iter().map(|it| it.labels["topology.istio.io/network"].clone()).collect();
    assert_eq!(networks, ["far", "far", "far", "farther"]);
    // Nothing is left of them to be looked up.
    let mut told = Told::with(&[&entry_of("DNS"), &machines[0], &machines[2]]);
    assert_eq!(told.addresses(&key), ["10.9.0.1:80/http"]);
}

#[test]
fn endpoints_may_be_sockets_where_nothing_is_looked_up() {
    let of = |resolution: &str| {
        let ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
        json!({"hosts": ["a.example.com"], "resolution": resolution, "ports": ports, "workloadSelector": {"labels": {"app": "a"}}})
    };
    let a = external("shop", "a.example.com");
    let socket = machine("shop", "socket", "a", json!({"address": "unix:///run/a.sock"}));
    let mut told =
        Told::with(&[&entry("shop", "a", of("STATIC")), &socket, &machine("shop", "name", "a", json!({"address": "db.example"}))]);
    assert_eq!(told.addresses(&a), ["unix:///run/a.sock:0/http"]);
    told.now(&entry("shop", "a", of("DNS")));
    assert_eq!(told.addresses(&a), ["db.example:80/http"]);
}

#[test]
fn hosts_without_address_are_given_one_each_and_keep_it() {
    let spec = |hosts: Value, more: Value| {
        let mut spec = json!({"hosts": hosts, "resolution": "DNS", "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let [a, b] = ["a.example.com", "b.example.com"].map(|host| external("shop", host));
    let given = |told: &mut Told, key: &ServiceKey| told.snapshot().services.get(key).unwrap().automatic_address;
    let both = entry("shop", "ab", spec(json!(["a.example.com", "b.example.com"]), json!({})));
    let mut told = Told::with(&[&both]);
    let first = given(&mut told, &a).unwrap();
    assert!(first.to_string().starts_with("240.240."), "{first}");
    assert_ne!(given(&mut told, &b), Some(first));
    assert_eq!(given(&mut Told::with(&[&both]), &a), Some(first), "another process gives the same");

    // What the status tells of was given before, by whomever.
    let mut kept = both.clone();
    kept.status = serde_json::from_value(json!({"addresses": [{"host": "a.example.com", "value": "240.240.9.9"}]})).unwrap();
    assert!(told.now(&kept).contains(&Change::Service(a.clone())));
    assert_eq!(given(&mut told, &a).unwrap().to_string(), "240.240.9.9");

    let label = json!({"labels": {"networking.istio.io/enable-autoallocate-ip": "false"}});
    let declined = object::<ServiceEntry>("shop", "ab", json!({"metadata": label, "spec": spec(json!(["a.example.com"]), json!({}))}));
    told.now(&declined);
    assert_eq!(given(&mut told, &a), None);
    for (hosts, more) in
        [(json!(["a.example.com"]), json!({"addresses": ["10.0.0.9"]})), (json!(["a.example.com"]), json!({"resolution": "NONE"}))]
    {
        told.now(&entry("shop", "ab", spec(hosts, more)));
        assert_eq!(given(&mut told, &a), None);
    }
    told.now(&entry(
        "shop",
        "wild",
        spec(json!(["*.example.com"]), json!({"resolution": "STATIC", "endpoints": [{"address": "10.0.0.1"}]})),
    ));
    assert_eq!(given(&mut told, &external("shop", "*.example.com")), None, "it stands for many names");
}
