//! What gateways get.

use serde_json::{Value, json};

use super::{compiled, json, names};
use crate::compile::{Compiled, ResourceType};
use crate::model::{
    Bind, GatewayServer, HostPattern, NamespaceSelector, Protocol, ServerCertificate, ServerTls, ServerTlsMode, StringMatch, TcpMatch,
    TcpRoute, TlsMatch, TlsRoute, VirtualService,
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

/// A server on port 443 whose certificate is in Secret `cert`.
fn tls_server(name: &str, protocol: Protocol, hosts: &[&str], mode: ServerTlsMode) -> GatewayServer {
    let tls = ServerTls { mode, certificates: vec![ServerCertificate::Secret("cert".into())], ..ServerTls::default() };
    GatewayServer {
        port: 443,
        port_name: name.into(),
        protocol,
        hosts: hosts.iter().map(|host| (NamespaceSelector::Any, HostPattern::new(host))).collect(),
        tls: Some(tls),
        name: "".into(),
        bind: None,
        default_endpoint: None,
    }
}

/// The sample with a gateway whose Service leads from 443 to 8443.
fn secured(servers: &[GatewayServer]) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.gateways[0].servers.extend(servers.iter().cloned());
    let ports = ["http:80:8080", "https:443:8443"];
    mesh.service("istio-system", "istio-ingressgateway", Some("10.96.2.1"), &ports).selector = labels(SELECTOR);
    mesh
}

/// The server names of a listener's chains, and whether TLS ends there.
fn chains(compiled: &Compiled, listener: &str) -> Vec<(Value, bool)> {
    let listener = json(compiled, ResourceType::Listener, listener);
    let chains = listener["filter_chains"].as_array().into_iter().flatten().chain(listener.get("default_filter_chain"));
    chains.map(|it| (it["filter_chain_match"]["server_names"].clone(), !it["transport_socket"].is_null())).collect()
}

#[test]
fn each_https_server_has_a_table_of_routes_of_its_own() {
    let server = |name, host| tls_server(name, Protocol::Https, &[host], ServerTlsMode::Simple);
    let compiled = gateway(&secured(&[server("one", "one.example.com"), server("two", "*.example.org")]));
    assert_eq!(names(&compiled, ResourceType::Listener), ["0.0.0.0_8080", "0.0.0.0_8443"]);
    let tables = ["http.8080", "https.443.one.bookinfo-gateway.shop", "https.443.two.bookinfo-gateway.shop"];
    assert_eq!(names(&compiled, ResourceType::Route), tables);
    let expected = [(json!(["one.example.com"]), true), (json!(["*.example.org"]), true)];
    assert_eq!(chains(&compiled, "0.0.0.0_8443"), expected);
    let table = json(&compiled, ResourceType::Route, tables[1]);
    assert_eq!(
        (&table["virtual_hosts"][0]["name"], &table["virtual_hosts"][0]["domains"]),
        (&json!("one.example.com:443"), &json!(["one.example.com"]))
    );
}

#[test]
fn a_server_for_all_hosts_takes_what_no_other_takes() {
    let server = |name, host| tls_server(name, Protocol::Https, &[host], ServerTlsMode::Simple);
    let compiled = gateway(&secured(&[server("all", "*"), server("one", "one.example.com")]));
    assert_eq!(chains(&compiled, "0.0.0.0_8443"), [(json!(["one.example.com"]), true), (Value::Null, true)]);
}

#[test]
fn of_servers_with_tls_for_one_host_the_oldest_holds_and_a_port_speaks_what_its_oldest_server_says() {
    let mut mesh = secured(&[]);
    let mut young = http_gateway("data", "young", SELECTOR, 443);
    let mut old = young.clone();
    young.servers = vec![tls_server("young", Protocol::Https, &["one.example.com", "three.example.com"], ServerTlsMode::Simple)];
    (old.origin.name, old.created) = ("old".into(), 0);
    old.servers = vec![tls_server("old", Protocol::Https, &["one.example.com"], ServerTlsMode::Simple)];
    let mut plain = http_gateway("data", "plain", SELECTOR, 443);
    plain.created = 2;
    mesh.gateways.extend([young, old, plain]);
    assert_eq!(chains(&gateway(&mesh), "0.0.0.0_8443"), [(json!(["one.example.com"]), true)]);
    assert_eq!(names(&gateway(&mesh), ResourceType::Route), ["http.8080", "https.443.old.old.data"]);
    mesh.gateways.last_mut().unwrap().created = -1;
    assert_eq!(names(&gateway(&mesh), ResourceType::Route), ["http.8080", "http.8443"], "plain HTTP came first");
}

#[test]
fn an_address_of_its_own_is_another_listener_with_other_routes() {
    let mut mesh = bookinfo();
    let mut server = mesh.gateways[0].servers[0].clone();
    server.bind = Some(Bind::Address("10.0.0.9".parse().unwrap()));
    let mut everywhere = server.clone();
    everywhere.bind = Some(Bind::Address("0.0.0.0".parse().unwrap()));
    let mut socket = server.clone();
    (socket.port, socket.bind) = (0, Some(Bind::Socket("/run/socket".into())));
    mesh.gateways[0].servers.extend([server, everywhere, socket]);
    let compiled = gateway(&mesh);
    assert_eq!(names(&compiled, ResourceType::Listener), ["0.0.0.0_8080", "10.0.0.9_8080", "unix:///run/socket"]);
    assert_eq!(names(&compiled, ResourceType::Route), ["http.0.unix:///run/socket", "http.8080", "http.8080.10.0.0.9"]);
    let address = |name| json(&compiled, ResourceType::Listener, name)["address"].clone();
    assert_eq!(address("10.0.0.9_8080")["socket_address"]["address"], "10.0.0.9");
    assert_eq!(address("unix:///run/socket"), json!({"pipe": {"path": "/run/socket"}}));
}

#[test]
fn passing_on_takes_the_names_of_tls_routes_and_no_tcp_routes() {
    let mut mesh = secured(&[tls_server("tls", Protocol::Tls, &["*"], ServerTlsMode::Passthrough)]);
    let mut routed = bound("db", &["db.example.com"], "/");
    routed.http.clear();
    let destinations = vec![to(&fqdn("data", "db"), None, 1)];
    routed.tcp = vec![TcpRoute { matches: Vec::new(), destinations: destinations.clone() }];
    let condition = TlsMatch { sni_hosts: vec![HostPattern::new("db.example.com")], connection: TcpMatch::default() };
    routed.tls = vec![TlsRoute { matches: vec![condition], destinations }];
    mesh.virtual_services.push(routed);
    assert_eq!(chains(&gateway(&mesh), "0.0.0.0_8443"), [(json!(["db.example.com"]), false)]);
}
