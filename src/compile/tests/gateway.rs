//! What gateways get.

use serde_json::{Value, json};

use super::{compiled, json, names};
use crate::compile::{Compiled, ResourceType};
use crate::model::{
    HostPattern, NamespaceSelector, Protocol, ServerCertificate, ServerTls, ServerTlsMode, StringMatch, TcpRoute, VirtualService,
};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, http_gateway, labels, path, to, virtual_service};

const SELECTOR: &[(&str, &str)] = &[("istio", "ingressgateway")];

fn gateway(mesh: &TestMesh) -> Compiled {
    compiled(mesh, "istio-system", "gateway-0")
}

fn hosts(mesh: &TestMesh) -> Vec<Value> {
    json(&gateway(mesh), ResourceType::Route, "http.8080")["virtual_hosts"].as_array().unwrap().clone()
}

/// A VirtualService for the sample's gateway that sends one path to `ratings`.
fn bound(name: &str, hosts: &[&str], at: &str) -> VirtualService {
    let rule = forward(vec![path(StringMatch::Prefix(at.into()))], vec![to(&fqdn("shop", "ratings"), None, 1)]);
    let hosts: Vec<_> = hosts.iter().map(|host| HostPattern::new(host)).collect();
    VirtualService { gateways: vec!["shop/bookinfo-gateway".into()], ..virtual_service("shop", name, &hosts, vec![rule]) }
}

#[test]
fn a_gateway_listens_on_the_port_of_its_pod_to_which_its_service_leads() {
    let compiled = gateway(&bookinfo());
    assert_eq!(names(&compiled, ResourceType::Listener), ["0.0.0.0_8080"]);
    assert_eq!(names(&compiled, ResourceType::Route), ["http.8080"]);
    let listener = json(&compiled, ResourceType::Listener, "0.0.0.0_8080");
    assert_eq!((&listener["address"]["socket_address"]["port_value"], &listener["bind_to_port"]), (&json!(8080), &Value::Null));
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!((&manager["rds"]["route_config_name"], &manager["use_remote_address"]), (&json!("http.8080"), &json!(true)));
    assert_eq!((&manager["server_name"], &manager["forward_client_cert_details"]), (&json!("istio-envoy"), &json!("SANITIZE_SET")));
}

#[test]
fn without_a_service_the_port_is_the_servers_own_if_it_can_be_bound() {
    let mut mesh = bookinfo();
    mesh.services.retain(|key, _| !key.host.as_str().starts_with("istio-ingress"));
    assert_eq!(names(&gateway(&mesh), ResourceType::Listener), Vec::<String>::new());
    mesh.gateways.push(http_gateway("shop", "high", SELECTOR, 9999));
    assert_eq!(names(&gateway(&mesh), ResourceType::Listener), ["0.0.0.0_9999"]);
}

#[test]
fn requests_go_where_the_virtual_services_bound_to_it_say() {
    let hosts = hosts(&bookinfo());
    assert_eq!((&hosts[0]["name"], &hosts[0]["domains"]), (&json!("*:80"), &json!(["*"])));
    let routes: Vec<_> = hosts[0]["routes"].as_array().unwrap().iter().map(|it| (&it["match"], &it["route"]["cluster"])).collect();
    let page = json!("outbound|9080||productpage.shop.svc.cluster.local");
    assert_eq!(routes, [(&json!({"path": "/productpage"}), &page), (&json!({"prefix": "/static"}), &page)]);
    assert_eq!(hosts.len(), 1);
}

#[test]
fn a_gateway_to_which_nothing_is_bound_has_nothing() {
    let mut mesh = bookinfo();
    mesh.virtual_services.clear();
    assert_eq!(hosts(&mesh), [json!({"name": "blackhole:80", "domains": ["*"]})]);
}

#[test]
fn a_gateway_for_other_workloads_changes_nothing() {
    let mut mesh = bookinfo();
    mesh.gateways = vec![http_gateway("shop", "bookinfo-gateway", &[("istio", "egressgateway")], 80)];
    assert_eq!(names(&gateway(&mesh), ResourceType::Listener), Vec::<String>::new());
}

#[test]
fn gateways_on_one_port_are_merged_and_what_takes_everything_comes_last() {
    let mut mesh = bookinfo();
    let mut second = http_gateway("data", "second", SELECTOR, 80);
    second.servers[0].hosts = vec![(NamespaceSelector::Own, HostPattern::new("*.example.com"))];
    mesh.gateways.push(second);
    let mut all = bound("all", &["*"], "/");
    all.created = 0;
    let home = VirtualService { gateways: vec!["data/second".into()], ..bound("home", &["a.example.com"], "/home") };
    let mut at_home = home.clone();
    at_home.origin.namespace = "data".into();
    at_home.origin.name = "at-home".into();
    // `home` is of another namespace than its gateway, which lets only its own speak.
    mesh.virtual_services.extend([all, home, at_home]);
    let hosts = hosts(&mesh);
    let names: Vec<_> = hosts.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["*:80", "a.example.com:80"]);
    let matches: Vec<_> = hosts[0]["routes"].as_array().unwrap().iter().map(|it| &it["match"]).collect();
    assert_eq!(matches, [&json!({"path": "/productpage"}), &json!({"prefix": "/static"}), &json!({"prefix": "/"})]);
    let config = &hosts[1]["routes"][0]["metadata"]["filter_metadata"]["istio"]["config"];
    assert_eq!(config, "/apis/networking.istio.io/v1/namespaces/data/virtual-service/at-home");
}

#[test]
fn of_a_servers_host_and_a_virtual_services_the_narrower_counts() {
    let mut mesh = bookinfo();
    mesh.gateways[0].servers[0].hosts =
        vec![(NamespaceSelector::Any, HostPattern::new("*.example.com")), (NamespaceSelector::Any, HostPattern::new("shop.example.org"))];
    mesh.virtual_services = vec![bound("narrow", &["a.example.com", "other.net"], "/n"), bound("wide", &["*.example.org"], "/w")];
    let names: Vec<_> = hosts(&mesh).iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["a.example.com:80", "shop.example.org:80"]);
}

#[test]
fn clients_are_sent_to_https_where_the_server_says_so() {
    let mut mesh = bookinfo();
    mesh.gateways[0].servers[0].tls = Some(ServerTls { https_redirect: true, ..ServerTls::default() });
    assert_eq!(hosts(&mesh)[0]["require_tls"], "ALL");
}

#[test]
fn a_tcp_server_passes_connections_on() {
    let mut mesh = bookinfo();
    let mut server = mesh.gateways[0].servers[0].clone();
    server.port = 31400;
    server.protocol = Protocol::Tcp;
    mesh.gateways[0].servers.push(server);
    assert_eq!(names(&gateway(&mesh), ResourceType::Listener), ["0.0.0.0_8080"], "nothing is bound to it");
    let mut routed = bound("db", &["*"], "/");
    routed.http.clear();
    routed.tcp = vec![TcpRoute { matches: Vec::new(), destinations: vec![to(&fqdn("data", "db"), None, 1)] }];
    mesh.virtual_services.push(routed);
    let listener = json(&gateway(&mesh), ResourceType::Listener, "0.0.0.0_31400");
    let filter = &listener["default_filter_chain"]["filters"][0]["typed_config"];
    assert_eq!(filter["cluster"], "outbound|5432||db.data.svc.cluster.local");
}

#[test]
fn servers_with_tls_are_not_served_half() {
    let mut mesh = bookinfo();
    let mut server = mesh.gateways[0].servers[0].clone();
    server.port = 443;
    server.protocol = Protocol::Https;
    server.tls = Some(ServerTls {
        mode: ServerTlsMode::Simple,
        certificates: vec![ServerCertificate::Secret("cert".into())],
        ..ServerTls::default()
    });
    mesh.gateways[0].servers.push(server);
    mesh.service("istio-system", "istio-ingressgateway", Some("10.96.2.1"), &["http:80:8080", "https:443:8443"]).selector =
        labels(SELECTOR);
    assert_eq!(names(&gateway(&mesh), ResourceType::Listener), ["0.0.0.0_8080"]);
}
