//! Which Sidecar holds, and what of it clusters and listeners show.

use std::time::Duration;

use super::{ResourceType, cluster, compile, compiled, json, names, proxy};
use crate::model::{
    ConnectionPool, EgressListener, HostPattern, HostSelector, IngressEndpoint, IngressListener, ObjectRef, OutboundTrafficMode, Protocol,
    Sidecar,
};
use crate::testing::mesh::{TestMesh, bookinfo, fqdn, labels, versions};

/// A Sidecar that says nothing.
fn sidecar(namespace: &str, name: &str, selector: &[(&str, &str)]) -> Sidecar {
    Sidecar {
        origin: ObjectRef::new("Sidecar", namespace, name),
        selector: labels(selector),
        ingress: Vec::new(),
        inbound_connection_pool: None,
        egress: None,
        outbound_traffic: None,
        egress_proxy: None,
        created: 1,
    }
}

fn egress(port: Option<u16>, hosts: &[&str]) -> EgressListener {
    let selector = |host: &&str| HostSelector { namespace: None, host: HostPattern::new(host) };
    EgressListener { port, hosts: hosts.iter().map(selector).collect(), ..EgressListener::default() }
}

fn listening(port: u16) -> IngressListener {
    IngressListener {
        port,
        port_name: "".into(),
        protocol: Some(Protocol::Http),
        bind: None,
        opened: None,
        endpoint: IngressEndpoint::SamePort,
        tls: None,
        connection_pool: None,
    }
}

/// The services for which a workload has clusters.
fn known(mesh: &TestMesh, name: &str) -> Vec<String> {
    let clusters = names(&compiled(mesh, "shop", name), ResourceType::Cluster);
    let hosts = clusters.iter().filter_map(|it| it.strip_prefix("outbound|")?.rsplit('|').next().map(str::to_owned));
    let mut hosts: Vec<String> = hosts.map(|host| host.split('.').next().unwrap_or_default().to_owned()).collect();
    hosts.dedup();
    hosts.sort();
    hosts.dedup();
    hosts
}

#[test]
fn a_sidecar_for_the_workload_counts_before_its_namespaces_and_that_before_the_meshs_and_the_oldest_of_each() {
    let mut mesh = bookinfo();
    mesh.virtual_services.clear();
    let add = |mesh: &mut TestMesh, namespace: &str, name: &str, selector: &[(&str, &str)], host: &str, created: i64| {
        let egress = Some(vec![egress(None, &[&format!("{host}.shop.svc.cluster.local")])]);
        mesh.sidecars.push(Sidecar { egress, created, ..sidecar(namespace, name, selector) });
    };
    add(&mut mesh, "istio-system", "default", &[], "productpage", 9);
    assert_eq!(known(&mesh, "details-v1"), ["productpage"]);
    add(&mut mesh, "shop", "young", &[], "ratings", 9);
    assert_eq!(known(&mesh, "details-v1"), ["ratings"]);
    add(&mut mesh, "shop", "old", &[], "reviews", 1);
    assert_eq!(known(&mesh, "details-v1"), ["reviews"]);
    add(&mut mesh, "shop", "own", &[("app", "details")], "legacy", 10);
    assert_eq!((known(&mesh, "details-v1"), known(&mesh, "ratings-v1")), (vec!["legacy".to_owned()], vec!["reviews".to_owned()]));
    // One that selects workloads of the root namespace selects none elsewhere.
    add(&mut mesh, "istio-system", "own", &[("app", "details")], "details", 1);
    assert_eq!(known(&mesh, "details-v1"), ["legacy"]);
}

#[test]
fn a_listener_for_a_port_shows_its_hosts_on_that_port_alone() {
    let mut mesh = bookinfo();
    mesh.virtual_services.clear();
    mesh.service("shop", "two", Some("10.96.0.30"), &["http:9080", "http:9090"]);
    let listeners = vec![egress(Some(9080), &["two.shop.svc.cluster.local"]), egress(None, &["ratings.shop.svc.cluster.local"])];
    mesh.sidecars.push(Sidecar { egress: Some(listeners), ..sidecar("shop", "default", &[]) });
    let compiled = compiled(&mesh, "shop", "details-v1");
    let clusters = names(&compiled, ResourceType::Cluster);
    assert!(clusters.contains(&"outbound|9080||two.shop.svc.cluster.local".to_owned()));
    assert!(!clusters.contains(&"outbound|9090||two.shop.svc.cluster.local".to_owned()));
    assert_eq!(names(&compiled, ResourceType::Route), ["9080"], "ratings is on 9080, which is for others");
}

#[test]
fn a_gateway_knows_all_services_whatever_the_sidecar_of_its_namespace_says() {
    let mut mesh = bookinfo();
    let before = names(&compiled(&mesh, "istio-system", "gateway-0"), ResourceType::Cluster);
    mesh.sidecars.push(Sidecar { egress: Some(vec![egress(None, &[])]), ..sidecar("istio-system", "default", &[]) });
    assert_eq!(names(&compiled(&mesh, "istio-system", "gateway-0"), ResourceType::Cluster), before);
    assert_eq!(known(&mesh, "details-v1"), Vec::<String>::new());
}

#[test]
fn limits_of_the_workload_are_those_of_its_port_then_of_its_sidecar_then_of_the_rule_for_its_service() {
    let limited = |connections: u32| ConnectionPool { max_connections: Some(connections), ..ConnectionPool::default() };
    let connections = |mesh: &TestMesh, name: &str| {
        let found = json(&compiled(mesh, "shop", "reviews-v1"), ResourceType::Cluster, name);
        found["circuit_breakers"]["thresholds"][0]["max_connections"].clone()
    };
    let mut mesh = bookinfo();
    mesh.destination_rules[0].policy.connection_pool =
        Some(ConnectionPool { connect_timeout: Some(Duration::from_secs(3)), ..limited(10) });
    let mut selecting = versions("shop", &fqdn("shop", "reviews"), &[]);
    selecting.origin = ObjectRef::new("DestinationRule", "shop", "callers");
    selecting.workload_selector = Some(labels(&[("app", "reviews")]));
    selecting.policy.connection_pool = Some(limited(77));
    mesh.destination_rules.push(selecting);
    assert_eq!(connections(&mesh, "inbound|9080||"), 10, "a rule that selects workloads means callers");
    let seconds = cluster(&compiled(&mesh, "shop", "reviews-v1"), "inbound|9080||").connect_timeout.map(|it| it.seconds);
    assert_eq!(seconds, Some(3));
    assert_eq!(connections(&mesh, "InboundPassthroughCluster"), u32::MAX);

    mesh.sidecars.push(Sidecar { inbound_connection_pool: Some(limited(20)), ..sidecar("shop", "default", &[]) });
    assert_eq!((connections(&mesh, "inbound|9080||"), connections(&mesh, "InboundPassthroughCluster")), (20.into(), 20.into()));

    mesh.sidecars[0].ingress = vec![IngressListener { connection_pool: Some(limited(30)), ..listening(9080) }, listening(9081)];
    assert_eq!((connections(&mesh, "inbound|9080||"), connections(&mesh, "inbound|9081||")), (30.into(), 20.into()));
}

#[test]
fn ports_that_ingress_lists_take_the_place_of_those_of_services() {
    let mut mesh = bookinfo();
    let opened = IngressListener { opened: Some(true), ..listening(8000) };
    mesh.sidecars.push(Sidecar { ingress: vec![listening(7000), opened], ..sidecar("shop", "default", &[]) });
    let compiled = compiled(&mesh, "shop", "reviews-v1");
    let inbound: Vec<_> = names(&compiled, ResourceType::Cluster).into_iter().filter(|name| name.starts_with("inbound|")).collect();
    assert_eq!(inbound, ["inbound|7000||", "inbound|8000||"]);
    let listener = json(&compiled, ResourceType::Listener, "virtualInbound");
    let ports: Vec<_> =
        listener["filter_chains"].as_array().unwrap().iter().map(|it| &it["filter_chain_match"]["destination_port"]).collect();
    assert!(ports.contains(&&7000.into()) && !ports.contains(&&8000.into()) && !ports.contains(&&9080.into()), "{ports:?}");
    let opened = json(&compiled, ResourceType::Listener, "10.244.3.1_8000");
    assert_eq!(opened["bind_to_port"], serde_json::Value::Null, "bound, which is the default");
    let endpoint =
        &json(&compiled, ResourceType::Cluster, "inbound|8000||")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(endpoint["address"]["socket_address"]["address"], "127.0.0.1", "its own address would be the proxy's");
}

#[test]
fn listeners_without_a_port_that_are_opened_spare_ports_that_need_privileges_and_the_proxys_own() {
    let mut mesh = bookinfo();
    mesh.service("shop", "low", Some("10.96.0.31"), &["http:80"]);
    mesh.service("shop", "own", Some("10.96.0.32"), &["http:15020"]);
    let listener = EgressListener { opened: Some(true), ..egress(None, &["*"]) };
    mesh.sidecars.push(Sidecar { egress: Some(vec![listener]), ..sidecar("shop", "default", &[]) });
    let compiled = compiled(&mesh, "shop", "details-v1");
    let opened: Vec<_> = names(&compiled, ResourceType::Listener).into_iter().filter(|name| name.starts_with("127.0.0.1_")).collect();
    assert_eq!(opened, ["127.0.0.1_31400", "127.0.0.1_5432", "127.0.0.1_5672", "127.0.0.1_7000", "127.0.0.1_9080"]);
    assert!(names(&compiled, ResourceType::Listener).contains(&"0.0.0.0_80".to_owned()));
}

#[test]
fn what_a_sidecar_decides_is_told_by_what_it_made() {
    let mut mesh = bookinfo();
    let refusing = Sidecar { outbound_traffic: Some(OutboundTrafficMode::RegistryOnly), ..sidecar("shop", "default", &[]) };
    mesh.sidecars.push(refusing);
    let compiled = compiled(&mesh, "shop", "details-v1");
    for (kind, name) in [(ResourceType::Route, "9080"), (ResourceType::Listener, "virtualOutbound")] {
        let sources = &compiled.get(kind, name).unwrap().sources;
        assert!(sources.contains(&ObjectRef::new("Sidecar", "shop", "default")), "{name}: {sources:?}");
    }
}

#[test]
fn a_pod_without_redirection_calls_its_proxy_unless_its_sidecar_says_otherwise() {
    let mut mesh = bookinfo();
    let told = |mesh: &TestMesh, mode: &str| {
        let mut proxy = proxy(mesh, "shop", "productpage-v1");
        proxy.metadata.insert("INTERCEPTION_MODE".to_owned(), mode.to_owned());
        let compiled = compile(mesh.snapshot(), &proxy);
        let opened = names(&compiled, ResourceType::Listener).into_iter().filter(|name| name.starts_with("127.0.0.1_"));
        opened.map(|name| (json(&compiled, ResourceType::Listener, &name)["bind_to_port"].as_bool(), name)).collect::<Vec<_>>()
    };
    assert_eq!(told(&mesh, "REDIRECT"), []);
    let all = ["31400", "5432", "5672", "7000", "9080"].map(|port| (Some(true), format!("127.0.0.1_{port}")));
    assert_eq!(told(&mesh, "NONE"), all);
    let redirected = EgressListener { opened: Some(false), ..egress(None, &["*"]) };
    mesh.sidecars.push(Sidecar { egress: Some(vec![redirected]), ..sidecar("shop", "default", &[]) });
    assert_eq!(told(&mesh, "NONE"), []);
}
