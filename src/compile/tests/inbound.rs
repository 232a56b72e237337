//! The listener for who calls the application.

use serde_json::{Value, json};

use super::{compiled, json};
use crate::compile::ResourceType;
use crate::model::MtlsMode;
use crate::testing::mesh::{TestMesh, bookinfo, peer_authentication};

fn listener(mesh: &TestMesh, namespace: &str, name: &str) -> Value {
    json(&compiled(mesh, namespace, name), ResourceType::Listener, "virtualInbound")
}

/// The chains of a port, each as: its transport, the names that it matches, whether it ends mTLS, and its filter.
fn chains(listener: &Value, port: u16) -> Vec<(String, usize, bool, String)> {
    let of_port = |chain: &&Value| chain["filter_chain_match"]["destination_port"] == port;
    let summary = |chain: &Value| {
        let condition = &chain["filter_chain_match"];
        let text = |value: &Value| value.as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned();
        let names = condition["application_protocols"].as_array().map_or(0, Vec::len);
        (text(&condition["transport_protocol"]), names, chain["transport_socket"].is_object(), text(&chain["filters"][0]["name"]))
    };
    listener["filter_chains"].as_array().unwrap().iter().filter(of_port).map(summary).collect()
}

fn row(transport: &str, names: usize, mtls: bool, filter: &str) -> (String, usize, bool, String) {
    let filter = if filter == "http" { "http_connection_manager" } else { "tcp_proxy" };
    (transport.to_owned(), names, mtls, filter.to_owned())
}

fn with(mode: MtlsMode, namespace: &str) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.peer_authentications.push(peer_authentication(namespace, &[], mode));
    mesh
}

#[test]
fn by_default_plain_text_and_mtls_are_both_accepted() {
    let mesh = bookinfo();
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 9080), [row("tls", 0, true, "http"), row("raw_buffer", 0, false, "http")]);
    assert_eq!(
        chains(&listener(&mesh, "data", "db-0"), 5432),
        [row("tls", 5, true, "tcp"), row("raw_buffer", 0, false, "tcp"), row("tls", 0, false, "tcp")]
    );
    assert_eq!(
        chains(&listener(&mesh, "shop", "legacy-0"), 7001),
        [
            row("tls", 3, true, "http"),
            row("raw_buffer", 3, false, "http"),
            row("tls", 2, true, "tcp"),
            row("raw_buffer", 0, false, "tcp"),
            row("tls", 0, false, "tcp")
        ]
    );
}

#[test]
fn strict_accepts_mtls_alone() {
    let mesh = with(MtlsMode::Strict, "shop");
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 9080), [row("tls", 0, true, "http")]);
    assert_eq!(
        chains(&listener(&mesh, "shop", "legacy-0"), 7001),
        [row("tls", 3, true, "http"), row("tls", 2, true, "tcp"), row("tls", 0, true, "tcp")]
    );
    let passthrough = listener(&mesh, "shop", "reviews-v1");
    let elsewhere =
        passthrough["filter_chains"].as_array().unwrap().iter().filter(|it| it["filter_chain_match"]["destination_port"].is_null());
    assert!(elsewhere.clone().count() == 3 && elsewhere.clone().all(|it| it["transport_socket"].is_object()));
}

#[test]
fn disable_accepts_plain_text_alone_and_does_not_wait_for_the_client() {
    let mesh = with(MtlsMode::Disable, "data");
    let listener = listener(&mesh, "data", "db-0");
    assert_eq!(chains(&listener, 5432), [row("", 0, false, "tcp")]);
    let filters = listener["listener_filters"].as_array().unwrap();
    let names: Vec<_> = filters.iter().map(|it| it["name"].as_str().unwrap().rsplit('.').next().unwrap()).collect();
    assert_eq!(names, ["original_dst", "http_inspector"]);
    assert_eq!(filters[1]["filter_disabled"], json!({"destination_port_range": {"start": 5432, "end": 5433}}));
}

#[test]
fn the_mode_for_a_workload_counts_before_its_namespaces_and_that_before_the_meshs() {
    let mut mesh = with(MtlsMode::Strict, "istio-system");
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 9080).len(), 1);
    mesh.peer_authentications.push(peer_authentication("shop", &[], MtlsMode::Disable));
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 9080), [row("", 0, false, "http")]);
    let mut own = peer_authentication("shop", &[("app", "reviews"), ("version", "v1")], MtlsMode::Permissive);
    own.ports = [(9080, Some(MtlsMode::Strict)), (4000, Some(MtlsMode::Disable))].into();
    mesh.peer_authentications.push(own);
    let listener_of_v1 = listener(&mesh, "shop", "reviews-v1");
    assert_eq!(chains(&listener_of_v1, 9080), [row("tls", 0, true, "http")]);
    assert_eq!(chains(&listener_of_v1, 4000), [row("", 3, false, "http"), row("", 0, false, "tcp")], "a port of which no service tells");
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v2"), 9080), [row("", 0, false, "http")]);
}

#[test]
fn callers_must_prove_an_identity_of_the_trust_domain() {
    let listener = listener(&bookinfo(), "shop", "reviews-v1");
    let chain = listener["filter_chains"].as_array().unwrap().iter().find(|it| it["name"] == "0.0.0.0_9080").unwrap();
    let tls = &chain["transport_socket"]["typed_config"];
    assert_eq!(tls["require_client_certificate"], true);
    let common = &tls["common_tls_context"];
    assert_eq!(
        common["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"],
        json!([{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}])
    );
    assert_eq!((&common["alpn_protocols"], &chain["transport_socket_connect_timeout"]), (&json!(["h2", "http/1.1"]), &json!("15s")));
}

#[test]
fn the_callers_identity_is_what_its_certificate_says() {
    let listener = listener(&bookinfo(), "shop", "reviews-v1");
    let managers: Vec<_> = listener["filter_chains"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["name"] == "0.0.0.0_9080")
        .map(|it| &it["filters"][0]["typed_config"]["forward_client_cert_details"])
        .collect();
    assert_eq!(managers, [&json!("SANITIZE_SET"), &Value::Null], "SANITIZE is the default value");
}

#[test]
fn requests_lead_to_the_port_that_the_caller_wanted() {
    let mut mesh = bookinfo();
    mesh.service("shop", "reviews", Some("10.96.0.3"), &["http:80:9080"]);
    let listener = listener(&mesh, "shop", "reviews-v1");
    let chain = listener["filter_chains"].as_array().unwrap().iter().find(|it| it["name"] == "0.0.0.0_9080").unwrap();
    let host = &chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0];
    assert_eq!((&host["name"], &host["domains"]), (&json!("inbound|http|80"), &json!(["*"])));
    assert_eq!((&host["routes"][0]["route"]["cluster"], &host["routes"][0]["route"]["timeout"]), (&json!("inbound|9080||"), &json!("0s")));
}

#[test]
fn a_port_of_two_services_is_what_the_older_says() {
    let mut mesh = bookinfo();
    mesh.service("shop", "younger", Some("10.96.0.11"), &["tcp:1000:9080"]).created = 2;
    mesh.services
        .values_mut()
        .filter(|it| &*it.name == "younger")
        .for_each(|it| it.selector = crate::testing::mesh::labels(&[("app", "reviews")]));
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 9080), [row("tls", 0, true, "http"), row("raw_buffer", 0, false, "http")]);
}

#[test]
fn a_named_target_port_is_the_workloads_own() {
    let mut mesh = bookinfo();
    mesh.service("shop", "reviews", Some("10.96.0.3"), &["http:9080:web"]);
    mesh.workload("shop", "reviews-v1", "10.244.3.1", &[("app", "reviews")]).named_ports = vec![("web".into(), 8123)];
    assert_eq!(chains(&listener(&mesh, "shop", "reviews-v1"), 8123).len(), 2);
}

#[test]
fn nobody_can_make_the_listener_call_itself() {
    let listener = listener(&bookinfo(), "shop", "reviews-v1");
    let chain = &listener["filter_chains"][0];
    assert_eq!((&chain["name"], &chain["filter_chain_match"]), (&json!("virtualInbound-blackhole"), &json!({"destination_port": 15006})));
    assert_eq!(chain["filters"][0]["typed_config"]["cluster"], "BlackHoleCluster");
}
