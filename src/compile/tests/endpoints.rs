//! Endpoints.

use std::sync::Arc;

use envoy_api::envoy::config::core::v3::HealthStatus;
use serde_json::{Value, json};

use super::{assignment, compiled, json, proxy};
use crate::compile::{Compiled, Proxy, ResourceType, compile};
use crate::model::{Endpoint, Health, Labels, MtlsMode, WorkloadKey};
use crate::testing::mesh::{TestMesh, bookinfo, labels, peer_authentication};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";

fn addresses(compiled: &Compiled, name: &str) -> Vec<String> {
    let json = json(compiled, ResourceType::Endpoints, name);
    let groups = json["endpoints"].as_array().cloned().unwrap_or_default();
    let endpoints = groups.iter().flat_map(|group| group["lb_endpoints"].as_array().unwrap());
    endpoints.map(|it| it["endpoint"]["address"]["socket_address"]["address"].as_str().unwrap().to_owned()).collect()
}

/// `reviews` with two endpoints of the given health and nothing else behind it.
fn with_health(healths: [Health; 2]) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.workloads.retain(|key, _| !key.name.starts_with("reviews"));
    let key = mesh.services.keys().find(|key| key.host.as_str().starts_with("reviews")).unwrap().clone();
    let endpoint = |(place, health): (usize, Health)| Endpoint {
        address: format!("10.0.0.{place}").into(),
        hostname: None,
        port: 9080,
        service_port: "http".into(),
        health,
        labels: Arc::new(Labels::new()),
        workload: None,
        identity: None,
        mtls: false,
        locality: "".into(),
        weight: 0,
    };
    mesh.others.insert(key, healths.into_iter().enumerate().map(endpoint).collect());
    mesh
}

fn health(mesh: &TestMesh) -> Vec<HealthStatus> {
    let assignment = assignment(&compiled(mesh, "shop", "productpage-v1"), REVIEWS);
    assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints).map(|it| it.health_status()).collect()
}

#[test]
fn a_subset_has_the_endpoints_that_its_labels_pick() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    assert_eq!(addresses(&compiled, REVIEWS), ["10.244.3.1", "10.244.3.2", "10.244.3.3"]);
    assert_eq!(addresses(&compiled, "outbound|9080|v2|reviews.shop.svc.cluster.local"), ["10.244.3.2"]);
}

#[test]
fn a_service_without_endpoints_has_an_empty_assignment() {
    let mut mesh = bookinfo();
    mesh.workloads.retain(|key, _| !key.name.starts_with("reviews"));
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(json(&compiled, ResourceType::Endpoints, REVIEWS), json!({"cluster_name": REVIEWS}));
}

#[test]
fn endpoints_say_their_locality_and_whether_they_speak_mtls() {
    let json = json(&compiled(&bookinfo(), "shop", "productpage-v1"), ResourceType::Endpoints, REVIEWS);
    let group = &json["endpoints"][0];
    assert_eq!((&group["locality"], &group["load_balancing_weight"]), (&json!({"region": "region", "zone": "zone"}), &json!(3)));
    let metadata = &group["lb_endpoints"][0]["metadata"]["filter_metadata"];
    assert_eq!(metadata["envoy.transport_socket_match"], json!({"tlsMode": "istio"}));
}

#[test]
fn an_endpoint_that_refuses_mtls_is_not_called_by_it() {
    let mut mesh = bookinfo();
    mesh.peer_authentications.push(peer_authentication("shop", &[("version", "v2")], MtlsMode::Disable));
    let json = json(&compiled(&mesh, "shop", "productpage-v1"), ResourceType::Endpoints, REVIEWS);
    let speaks: Vec<_> = json["endpoints"][0]["lb_endpoints"].as_array().unwrap().iter().map(|it| it["metadata"] != Value::Null).collect();
    assert_eq!(speaks, [true, false, true]);
}

#[test]
fn endpoints_that_are_going_away_get_new_requests_only_where_there_is_no_other() {
    assert_eq!(health(&with_health([Health::Healthy, Health::Draining])), [HealthStatus::Healthy, HealthStatus::Draining]);
    assert_eq!(health(&with_health([Health::Draining, Health::Draining])), [HealthStatus::Healthy, HealthStatus::Healthy]);
}

#[test]
fn endpoints_that_are_not_ready_count_only_where_the_service_publishes_them() {
    let mut mesh = with_health([Health::Healthy, Health::Unhealthy]);
    assert_eq!(health(&mesh), [HealthStatus::Healthy]);
    mesh.services.values_mut().for_each(|service| service.publish_not_ready = true);
    assert_eq!(health(&mesh), [HealthStatus::Healthy, HealthStatus::Healthy]);
}

#[test]
fn a_proxy_that_asks_knows_the_workloads_of_its_own_service_by_zone() {
    let mut mesh = bookinfo();
    mesh.workloads.get_mut(&WorkloadKey::new("shop", "reviews-v3")).unwrap().locality = "region/other".into();
    let mut proxy = proxy(&mesh, "shop", "reviews-v1");
    assert!(compile(mesh.snapshot(), &proxy).get(ResourceType::Endpoints, "local_cluster").is_none());
    proxy.discovers_itself = true;
    let local = json(&compile(mesh.snapshot(), &proxy), ResourceType::Endpoints, "local_cluster");
    let zones =
        local["endpoints"].as_array().unwrap().iter().map(|it| (&it["locality"]["zone"], it["lb_endpoints"].as_array().unwrap().len()));
    assert_eq!(zones.collect::<Vec<_>>(), [(&json!("other"), 1), (&json!("zone"), 2)]);
    // Who is of no service is told so: Envoy waits for an answer.
    let mut gateway = proxy_of_nobody(&mesh);
    gateway.discovers_itself = true;
    assert_eq!(
        json(&compile(mesh.snapshot(), &gateway), ResourceType::Endpoints, "local_cluster"),
        json!({"cluster_name": "local_cluster"})
    );
}

fn proxy_of_nobody(mesh: &TestMesh) -> Proxy {
    Proxy { labels: labels(&[("app", "nobody")]), ..proxy(mesh, "shop", "reviews-v1") }
}
