//! Endpoints of other networks, and the gateways by which they are reached.

use std::{collections::BTreeMap, sync::Arc};

use envoy_api::envoy::config::{
    core::v3::{address::Address, socket_address::PortSpecifier},
    endpoint::v3::lb_endpoint::HostIdentifier,
};

use super::{assignment, compiled, proxy};
use crate::compile::{Compiled, Compiler, ResourceType};
use crate::model::{
    Change, Changes, ClientTls, ClientTlsMode, Endpoint, Health, MeshNetwork, MtlsMode, NETWORK, NetworkEndpoints, NetworkGateway, Outside,
    ServiceKey, TrafficPolicy,
};
use crate::testing::mesh::{TestMesh, bookinfo, fqdn, labels, peer_authentication, versions};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";

/// The sample with v2 and v3 of `reviews` in network `far`, and all else in `near`.
fn two_networks() -> TestMesh {
    let mut mesh = bookinfo();
    for (key, workload) in &mut mesh.workloads {
        let network = if ["reviews-v2", "reviews-v3"].contains(&&*key.name) { "far" } else { "near" };
        workload.labels.insert(NETWORK.to_owned(), network.to_owned());
    }
    mesh
}

/// A Service that is the gateway of `far`, reached at these addresses.
fn with_gateway(mut mesh: TestMesh, addresses: &[&str]) -> TestMesh {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let service = mesh.service("istio-system", "east", Some("10.96.9.9"), &["tls:15443"]);
    service.outside = Outside { addresses, gateway_of: Some(("far".into(), 15443)) };
    mesh
}

/// The endpoints of a cluster, `ADDRESS:PORT*WEIGHT`, and behind those that are called by mTLS an exclamation mark.
fn reached_of(compiled: &Compiled, cluster: &str) -> Vec<String> {
    let groups = assignment(compiled, cluster).endpoints;
    let shown = groups.into_iter().flat_map(|group| group.lb_endpoints).map(|it| {
        let Some(HostIdentifier::Endpoint(host)) = it.host_identifier else { panic!("no address") };
        let Some(Address::SocketAddress(at)) = host.address.unwrap().address else { panic!("no IP address") };
        let Some(PortSpecifier::PortValue(port)) = at.port_specifier else { panic!("no port") };
        let mtls = if it.metadata.is_some() { "!" } else { "" };
        format!("{}:{port}*{}{mtls}", at.address, it.load_balancing_weight.unwrap())
    });
    shown.collect()
}

fn reached(mesh: &TestMesh) -> Vec<String> {
    reached_of(&compiled(mesh, "shop", "productpage-v1"), REVIEWS)
}

const ALL: [&str; 3] = ["10.244.3.1:9080*1!", "10.244.3.2:9080*1!", "10.244.3.3:9080*1!"];

#[test]
fn another_networks_endpoints_are_reached_by_its_gateways_which_share_their_weight() {
    assert_eq!(reached(&two_networks()), ALL, "a network without a gateway is no other network");
    let one = with_gateway(two_networks(), &["192.0.2.1"]);
    assert_eq!(reached(&one), ["10.244.3.1:9080*1!", "192.0.2.1:15443*2!"]);
    let two = with_gateway(two_networks(), &["192.0.2.1", "192.0.2.2"]);
    assert_eq!(reached(&two), ["10.244.3.1:9080*2!", "192.0.2.1:15443*2!", "192.0.2.2:15443*2!"]);
    // Whoever is there himself needs no gateway for them.
    let from_there = compiled(&one, "shop", "reviews-v2");
    assert_eq!(reached_of(&from_there, REVIEWS), ALL, "near has no gateway");
    let v2 = "outbound|9080|v2|reviews.shop.svc.cluster.local";
    assert_eq!(reached_of(&compiled(&one, "shop", "productpage-v1"), v2), ["192.0.2.1:15443*1!"]);
    // A gateway that has no address yet is none.
    assert_eq!(reached(&with_gateway(two_networks(), &[])), ALL);
}

#[test]
fn a_proxy_that_does_not_know_its_network_calls_everybody_itself() {
    let mut mesh = with_gateway(two_networks(), &["192.0.2.1"]);
    mesh.workloads.values_mut().find(|it| &*it.key.name == "productpage-v1").unwrap().labels.remove(NETWORK);
    assert_eq!(reached(&mesh), ALL);
    let mut proxy = proxy(&mesh, "shop", "productpage-v1");
    proxy.metadata = labels(&[("NETWORK", "near")]);
    assert_eq!(reached_of(&crate::compile::compile(mesh.snapshot(), &proxy), REVIEWS), ["10.244.3.1:9080*1!", "192.0.2.1:15443*2!"]);
}

#[test]
fn without_mtls_nobody_is_reached_by_a_gateway() {
    let near = ["10.244.3.1:9080*1!".to_owned()];
    let mesh = with_gateway(two_networks(), &["192.0.2.1"]);
    let mut off = mesh.clone();
    off.config.enable_auto_mtls = false;
    assert_eq!(reached(&off), near);
    let with_tls = |mode| {
        let mut mesh = mesh.clone();
        let mut rule = versions("shop", &fqdn("shop", "reviews"), &[]);
        rule.policy = TrafficPolicy { tls: Some(ClientTls { mode, ..ClientTls::default() }), ..TrafficPolicy::default() };
        mesh.destination_rules = vec![rule];
        reached(&mesh)
    };
    assert_eq!(with_tls(ClientTlsMode::Disable), near);
    assert_eq!(with_tls(ClientTlsMode::IstioMutual).len(), 2);
    let mut refusing = mesh.clone();
    refusing.peer_authentications.push(peer_authentication("shop", &[("version", "v3")], MtlsMode::Disable));
    assert_eq!(reached(&refusing), ["10.244.3.1:9080*1!", "192.0.2.1:15443*1!"], "v3 takes no mTLS");
}

#[test]
fn the_meshs_settings_name_networks_by_ranges_and_gateways_by_address_or_service() {
    let networks = |gateway: NetworkGateway| {
        let far =
            MeshNetwork { endpoints: vec![NetworkEndpoints { from_cidr: "10.244.3.2/31".parse().unwrap() }], gateways: vec![gateway] };
        let near = MeshNetwork { endpoints: vec![NetworkEndpoints { from_cidr: "10.244.0.0/16".parse().unwrap() }], gateways: Vec::new() };
        Some(BTreeMap::from([("far".to_owned(), far), ("near".to_owned(), near)]))
    };
    let mut mesh = bookinfo();
    mesh.config.mesh_networks =
        networks(NetworkGateway { address: Some("192.0.2.1".parse().unwrap()), registry_service_name: None, port: 443 });
    assert_eq!(reached(&mesh), ["10.244.3.1:9080*1!", "192.0.2.1:443*2!"]);
    let name = "east.istio-system.svc.cluster.local".to_owned();
    mesh.config.mesh_networks = networks(NetworkGateway { address: None, registry_service_name: Some(name), port: 443 });
    assert_eq!(reached(&mesh), ALL, "there is no such service");
    let mut mesh = with_gateway(mesh, &["192.0.2.7"]);
    mesh.services.values_mut().for_each(|it| it.outside.gateway_of = None);
    assert_eq!(reached(&mesh), ["10.244.3.1:9080*1!", "192.0.2.7:443*2!"]);
}

#[test]
fn an_endpoint_without_an_address_is_reached_by_its_networks_gateway_or_not_at_all() {
    let mut mesh = two_networks();
    let key = ServiceKey { host: fqdn("shop", "reviews"), namespace: "shop".into() };
    let endpoint = Endpoint {
        address: "".into(),
        hostname: None,
        port: 9080,
        service_port: "http".into(),
        health: Health::Healthy,
        labels: Arc::new(labels(&[(NETWORK, "far")])),
        workload: None,
        identity: None,
        mtls: true,
        locality: "".into(),
        weight: 3,
    };
    mesh.others.insert(key, vec![endpoint]);
    assert_eq!(reached(&mesh), ALL);
    let reached = reached(&with_gateway(mesh, &["192.0.2.1"]));
    assert_eq!(reached, ["192.0.2.1:15443*3!", "10.244.3.1:9080*1!", "192.0.2.1:15443*2!"], "in places of their own");
}

#[test]
fn a_gateway_that_gets_an_address_changes_the_endpoints_of_those_who_need_it() {
    let mesh = with_gateway(two_networks(), &[]);
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = proxy(&mesh, "shop", "productpage-v1");
    let before = compiler.compile(&proxy);
    let mesh = with_gateway(two_networks(), &["192.0.2.1"]);
    let key = ServiceKey { host: fqdn("istio-system", "east"), namespace: "istio-system".into() };
    compiler.advance(mesh.snapshot(), &Changes::from_iter([Change::Service(key)]));
    let after = compiler.compile(&proxy);
    assert_eq!(reached_of(&after, REVIEWS), ["10.244.3.1:9080*1!", "192.0.2.1:15443*2!"]);
    let changed: Vec<_> = after.differences(Some(&before), ResourceType::Endpoints).into_iter().map(|it| it.name.to_string()).collect();
    assert!(changed.contains(&REVIEWS.to_owned()) && !changed.iter().any(|name| name.contains("|details.")), "{changed:?}");
}
