//! Clusters.

use std::time::Duration;

use envoy_api::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use serde_json::{Value, json};

use super::{cluster, compiled, json, names};
use crate::compile::{Compiled, ResourceType};
use crate::model::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, HostPattern, LoadBalancer, OutlierDetection, PortTrafficPolicy, Resolution,
    ServiceKey, TrafficPolicy,
};
use crate::testing::mesh::{bookinfo, fqdn, versions};

pub(super) const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";

fn kind(compiled: &Compiled, name: &str) -> DiscoveryType {
    match cluster(compiled, name).cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(super) fn cluster_json(compiled: &Compiled, name: &str) -> Value {
    json(compiled, ResourceType::Cluster, name)
}

pub(super) fn rule(policy: TrafficPolicy) -> DestinationRule {
    DestinationRule { policy, created: 0, ..versions("shop", &fqdn("shop", "reviews"), &["v1"]) }
}

fn client_tls(mode: ClientTlsMode) -> ClientTls {
    ClientTls { mode, ..ClientTls::default() }
}

#[test]
fn every_visible_port_and_subset_has_a_cluster() {
    let names = names(&compiled(&bookinfo(), "shop", "productpage-v1"), ResourceType::Cluster);
    for name in [
        "BlackHoleCluster",
        "InboundPassthroughCluster",
        "PassthroughCluster",
        "inbound|9080||",
        REVIEWS,
        "outbound|9080|v2|reviews.shop.svc.cluster.local",
        "outbound|443||api.example.com",
        "outbound|7000||legacy.shop.svc.cluster.local",
    ] {
        assert!(names.iter().any(|it| it == name), "no {name} among {names:?}");
    }
}

#[test]
fn how_endpoints_are_found_follows_the_services_resolution() {
    let mut mesh = bookinfo();
    mesh.external("shop", "one.example.com", Resolution::DnsRoundRobin, &["http:80"]);
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(kind(&compiled, REVIEWS), DiscoveryType::Eds);
    assert_eq!(kind(&compiled, "outbound|5672||queue.data.svc.cluster.local"), DiscoveryType::OriginalDst);
    for (name, one) in [("outbound|80||api.example.com", Value::Null), ("outbound|80||one.example.com", json!(true))] {
        let cluster = cluster_json(&compiled, name);
        assert_eq!(cluster["cluster_type"]["name"], "envoy.cluster.dns", "{name}");
        assert_eq!(cluster["cluster_type"]["typed_config"]["all_addresses_in_single_endpoint"], one, "{name}");
        let host = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"];
        assert_eq!(host["address"], name.rsplit('|').next().unwrap());
    }
}

#[test]
fn a_gateway_chooses_an_endpoint_where_a_sidecar_takes_the_address_that_was_called() {
    let name = "outbound|5672||queue.data.svc.cluster.local";
    let gateway = compiled(&bookinfo(), "istio-system", "gateway-0");
    assert_eq!(kind(&gateway, name), DiscoveryType::Eds);
    assert!(gateway.get(ResourceType::Endpoints, name).is_some());
    assert!(compiled(&bookinfo(), "shop", "productpage-v1").get(ResourceType::Endpoints, name).is_none());
}

#[test]
fn sidecars_speak_mtls_to_endpoints_that_do_and_expect_the_services_own_accounts() {
    let cluster = cluster_json(&compiled(&bookinfo(), "shop", "productpage-v1"), "outbound|9080|v1|reviews.shop.svc.cluster.local");
    let matches = &cluster["transport_socket_matches"];
    assert_eq!((&matches[0]["name"], &matches[0]["match"]), (&json!("tlsMode-istio"), &json!({"tlsMode": "istio"})));
    assert_eq!(
        (&matches[1]["name"], &matches[1]["transport_socket"]["name"]),
        (&json!("tlsMode-disabled"), &json!("envoy.transport_sockets.raw_buffer"))
    );
    let tls = &matches[0]["transport_socket"]["typed_config"];
    assert_eq!(tls["sni"], "outbound_.9080_.v1_.reviews.shop.svc.cluster.local");
    let common = &tls["common_tls_context"];
    assert_eq!(common["tls_params"], json!({"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}));
    assert_eq!(common["alpn_protocols"], json!(["istio-http/1.1", "istio", "http/1.1"]));
    assert_eq!(common["tls_certificate_sds_secret_configs"][0]["name"], "default");
    let validation = &common["combined_validation_context"];
    assert_eq!(validation["validation_context_sds_secret_config"]["name"], "ROOTCA");
    assert_eq!(
        validation["default_validation_context"]["match_typed_subject_alt_names"],
        json!([{"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/shop/sa/reviews"}}])
    );
}

#[test]
fn hosts_outside_of_the_mesh_and_meshes_without_automatic_mtls_are_called_in_plain_text() {
    let mut mesh = bookinfo();
    assert!(cluster(&compiled(&mesh, "shop", "productpage-v1"), "outbound|80||api.example.com").transport_socket_matches.is_empty());
    mesh.config.enable_auto_mtls = false;
    let reviews = cluster(&compiled(&mesh, "shop", "productpage-v1"), REVIEWS);
    assert!(reviews.transport_socket_matches.is_empty() && reviews.transport_socket.is_none());
}

#[test]
fn a_headless_service_is_called_by_mtls_once_all_of_its_endpoints_speak_it() {
    let name = "outbound|5672||queue.data.svc.cluster.local";
    let mut mesh = bookinfo();
    let socket = |mesh: &_| cluster_json(&compiled(mesh, "shop", "productpage-v1"), name)["transport_socket"]["name"].clone();
    assert_eq!(socket(&mesh), "envoy.transport_sockets.tls");
    mesh.workload("data", "queue-2", "10.244.9.4", &[("app", "queue")]).labels.remove("security.istio.io/tlsMode");
    assert_eq!(socket(&mesh), Value::Null);
}

#[test]
fn the_tls_of_a_destination_rule_replaces_the_meshes_own() {
    let with = |tls: ClientTls| {
        let mut mesh = bookinfo();
        mesh.destination_rules = vec![rule(TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() })];
        cluster_json(&compiled(&mesh, "shop", "productpage-v1"), REVIEWS)
    };
    let disabled = with(client_tls(ClientTlsMode::Disable));
    assert_eq!((&disabled["transport_socket"], &disabled["transport_socket_matches"]), (&Value::Null, &Value::Null));

    let mutual = with(client_tls(ClientTlsMode::IstioMutual));
    assert_eq!(mutual["transport_socket_matches"], Value::Null);
    assert_eq!(mutual["transport_socket"]["typed_config"]["sni"], "outbound_.9080_._.reviews.shop.svc.cluster.local");

    let simple = with(ClientTls { sni: Some("shop.example".into()), ..client_tls(ClientTlsMode::Simple) });
    let tls = &simple["transport_socket"]["typed_config"];
    assert_eq!((&tls["sni"], &tls["auto_sni_san_validation"]), (&json!("shop.example"), &json!(true)));
    assert_eq!(tls["common_tls_context"]["validation_context"], json!({"trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}));
    assert_eq!(tls["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"], "TLSv1_2");

    let files = with(ClientTls {
        subject_alt_names: vec!["shop.example".into(), "spiffe://other/ns/a/sa/b".into()],
        ca_certificates: Some("/etc/certs/root.pem".into()),
        client_certificate: Some("/etc/certs/chain.pem".into()),
        private_key: Some("/etc/certs/key.pem".into()),
        ..client_tls(ClientTlsMode::Mutual)
    });
    let common = &files["transport_socket"]["typed_config"]["common_tls_context"];
    assert_eq!(common["tls_certificates"][0]["private_key"]["filename"], "/etc/certs/key.pem");
    assert_eq!(common["validation_context"]["trusted_ca"]["filename"], "/etc/certs/root.pem");
    let kinds: Vec<_> =
        common["validation_context"]["match_typed_subject_alt_names"].as_array().unwrap().iter().map(|it| &it["san_type"]).collect();
    assert_eq!(kinds, ["DNS", "URI"]);
}

#[test]
fn limits_are_those_of_the_rule_and_otherwise_out_of_reach() {
    let plain = cluster_json(&compiled(&bookinfo(), "shop", "productpage-v1"), REVIEWS);
    let thresholds = &plain["circuit_breakers"]["thresholds"][0];
    assert_eq!((&thresholds["max_connections"], &thresholds["max_retries"]), (&json!(u32::MAX), &json!(u32::MAX)));
    assert_eq!(
        (&plain["connect_timeout"], &plain["lb_policy"], &plain["alt_stat_name"]),
        (&json!("10s"), &json!("LEAST_REQUEST"), &json!(format!("{REVIEWS};")))
    );

    let mut mesh = bookinfo();
    mesh.destination_rules = vec![rule(TrafficPolicy {
        load_balancer: Some(LoadBalancer::RoundRobin.into()),
        connection_pool: Some(ConnectionPool {
            max_connections: Some(7),
            connect_timeout: Some(Duration::from_millis(250)),
            max_requests_per_connection: Some(1),
            ..ConnectionPool::default()
        }),
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx_errors: Some(3),
            consecutive_gateway_errors: Some(0),
            min_health_percent: Some(30),
            ..OutlierDetection::default()
        }),
        ..TrafficPolicy::default()
    })];
    let limited = cluster_json(&compiled(&mesh, "shop", "productpage-v1"), REVIEWS);
    assert_eq!(limited["circuit_breakers"]["thresholds"][0]["max_connections"], 7);
    assert_eq!((&limited["connect_timeout"], &limited["lb_policy"]), (&json!("0.250s"), &Value::Null), "ROUND_ROBIN is the default value");
    let outliers = &limited["outlier_detection"];
    assert_eq!((&outliers["consecutive_5xx"], &outliers["enforcing_consecutive_5xx"]), (&json!(3), &json!(100)));
    assert_eq!((&outliers["consecutive_gateway_failure"], &outliers["enforcing_consecutive_gateway_failure"]), (&Value::Null, &json!(0)));
    assert_eq!(limited["common_lb_config"]["healthy_panic_threshold"]["value"], 30.0);
    let options = &limited["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert_eq!(options["common_http_protocol_options"]["max_requests_per_connection"], 1);
}

#[test]
fn a_subset_overrides_the_rule_and_a_port_overrides_both() {
    let mut mesh = bookinfo();
    mesh.service("shop", "reviews", Some("10.96.0.3"), &["http:9080", "http-admin:9090"]);
    let random = TrafficPolicy { load_balancer: Some(LoadBalancer::Random.into()), ..TrafficPolicy::default() };
    let mut rule = rule(TrafficPolicy { load_balancer: Some(LoadBalancer::RoundRobin.into()), ..TrafficPolicy::default() });
    rule.subsets[0].policy = TrafficPolicy { ports: vec![PortTrafficPolicy { port: 9090, policy: random }], ..TrafficPolicy::default() };
    mesh.destination_rules = vec![rule];
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let lb = |name: &str| LbPolicy::try_from(cluster(&compiled, name).lb_policy).unwrap();
    assert_eq!(lb("outbound|9080|v1|reviews.shop.svc.cluster.local"), LbPolicy::RoundRobin);
    assert_eq!(lb("outbound|9090|v1|reviews.shop.svc.cluster.local"), LbPolicy::Random);
}

#[test]
fn passing_on_as_addressed_can_be_asked_for() {
    let mut mesh = bookinfo();
    mesh.destination_rules =
        vec![rule(TrafficPolicy { load_balancer: Some(LoadBalancer::Passthrough.into()), ..TrafficPolicy::default() })];
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(kind(&compiled, REVIEWS), DiscoveryType::OriginalDst);
    assert_eq!(cluster(&compiled, REVIEWS).lb_policy, i32::from(LbPolicy::ClusterProvided));
}

#[test]
fn the_version_of_http_is_the_ports_and_the_callers_where_the_port_says_nothing() {
    let mut mesh = bookinfo();
    mesh.service("shop", "reviews", Some("10.96.0.3"), &["grpc:9080"]);
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let options = |name: &str| {
        cluster_json(&compiled, name)["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].clone()
    };
    assert!(options(REVIEWS)["explicit_http_config"]["http2_protocol_options"].is_object());
    assert!(options("outbound|7000||legacy.shop.svc.cluster.local")["use_downstream_protocol_config"].is_object());
    assert!(options("outbound|9080||details.shop.svc.cluster.local").is_null());
    let alpn = |name: &str| {
        cluster_json(&compiled, name)["transport_socket_matches"][0]["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"].clone()
    };
    assert_eq!(alpn(REVIEWS), json!(["istio-h2", "istio", "h2"]));
    assert_eq!(alpn("outbound|5432||db.data.svc.cluster.local"), json!(["istio-peer-exchange", "istio"]));
}

#[test]
fn the_application_is_called_where_the_caller_wanted_to_go_from_an_address_that_is_not_captured() {
    let cluster = cluster_json(&compiled(&bookinfo(), "shop", "reviews-v1"), "inbound|9080||");
    assert_eq!((&cluster["type"], &cluster["lb_policy"]), (&json!("ORIGINAL_DST"), &json!("CLUSTER_PROVIDED")));
    assert_eq!(cluster["upstream_bind_config"]["source_address"]["address"], "127.0.0.6");
    assert_eq!(
        cluster["metadata"]["filter_metadata"]["istio"]["services"],
        json!([{"host": "reviews.shop.svc.cluster.local", "name": "reviews", "namespace": "shop"}])
    );
}

#[test]
fn a_cluster_names_the_objects_that_shaped_it() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    let sources: Vec<_> = compiled.get(ResourceType::Cluster, REVIEWS).unwrap().sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["DestinationRule shop/reviews", "Service shop/reviews"]);
}

/// The names that a cluster's TLS wants to see, of any kind.
fn wanted_names(socket: &Value) -> Vec<&str> {
    let context = &socket["typed_config"]["common_tls_context"];
    let validation = [&context["combined_validation_context"]["default_validation_context"], &context["validation_context"]];
    let names = validation.into_iter().filter_map(|it| it["match_typed_subject_alt_names"].as_array()).flatten();
    names.map(|it| it["matcher"]["exact"].as_str().unwrap()).collect()
}

#[test]
fn servers_show_one_of_the_names_that_their_service_declares_unless_the_rule_says_otherwise() {
    let mut mesh = bookinfo();
    mesh.external("shop", "api.example.com", Resolution::Dns, &["https:443"]).subject_alt_names = vec!["declared.example".into()];
    mesh.services.get_mut(&key("reviews")).unwrap().subject_alt_names = vec!["spiffe://other/ns/a/sa/b".into()];
    let rule_for = |names: Vec<std::sync::Arc<str>>| {
        let tls = ClientTls { subject_alt_names: names, ..client_tls(ClientTlsMode::Simple) };
        let policy = TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() };
        DestinationRule { policy, ..versions("shop", &HostPattern::new("api.example.com"), &[]) }
    };
    mesh.destination_rules = vec![rule_for(Vec::new())];
    let found = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(wanted_names(&cluster_json(&found, "outbound|443||api.example.com")["transport_socket"]), ["declared.example"]);
    let mtls = &cluster_json(&found, REVIEWS)["transport_socket_matches"][0]["transport_socket"];
    assert_eq!(wanted_names(mtls), ["spiffe://other/ns/a/sa/b", "spiffe://cluster.local/ns/shop/sa/reviews"]);
    mesh.destination_rules = vec![rule_for(vec!["own.example".into()])];
    let found = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(wanted_names(&cluster_json(&found, "outbound|443||api.example.com")["transport_socket"]), ["own.example"]);
}

fn key(name: &str) -> ServiceKey {
    ServiceKey { host: fqdn("shop", name), namespace: "shop".into() }
}

#[test]
fn an_address_that_the_client_chose_may_be_called_at_another_port() {
    let mut mesh = bookinfo();
    mesh.external("shop", "*.example.org", Resolution::Passthrough, &["http:80:8080", "http-2:81"]);
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let port = |name: &str| cluster_json(&compiled, name)["original_dst_lb_config"]["upstream_port_override"].clone();
    assert_eq!((port("outbound|80||*.example.org"), port("outbound|81||*.example.org")), (json!(8080), Value::Null));
}
