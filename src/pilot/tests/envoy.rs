//! What real proxies make of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get};
use envoy_api::{
    envoy::config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration},
    json::from_value,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    proxy::{Envoy, ads, assignment, socket},
    server::Pilot,
};
use crate::compile::{Resource, ResourceType};
use crate::model::ObjectRef;
use crate::testing::{envoy_for, eventually};

/// An application that answers with its name.
async fn application(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async move || name));
    tokio::spawn(async move { axum::serve::serve(listener, router).await });
    address
}

/// A cluster with its endpoint.
fn cluster(name: &str, endpoint: SocketAddr) -> [Arc<Resource>; 2] {
    cluster_with(name, "1s", endpoint)
}

fn cluster_with(name: &str, connect_timeout: &str, endpoint: SocketAddr) -> [Arc<Resource>; 2] {
    let cluster: Cluster = from_value(json!({
        "name": name, "type": "EDS", "connect_timeout": connect_timeout, "eds_cluster_config": {"eds_config": ads()},
    }))
    .unwrap();
    let endpoints: ClusterLoadAssignment = from_value(assignment(name, endpoint)).unwrap();
    let sources = [ObjectRef::new("Service", "shop", name)];
    [
        Resource::encoded(ResourceType::Cluster, name, &cluster, &sources),
        Resource::encoded(ResourceType::Endpoints, name, &endpoints, &sources),
    ]
}

/// A listener on any port, whose routes are called "80".
fn listener(name: &str) -> Arc<Resource> {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": "80", "config_source": ads()},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    listener_with(name, json!([{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]))
}

fn listener_with(name: &str, filters: Value) -> Arc<Resource> {
    let listener: Listener =
        from_value(json!({"name": name, "address": socket("127.0.0.1", 0), "filter_chains": [{"filters": filters}]})).unwrap();
    Resource::encoded(ResourceType::Listener, name, &listener, &[ObjectRef::new("Gateway", "shop", name)])
}

/// All requests go to that cluster.
fn route_to(cluster: &str) -> Arc<Resource> {
    let routes: RouteConfiguration = from_value(json!({"name": "80", "virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]},
    ]}))
    .unwrap();
    Resource::encoded(ResourceType::Route, "80", &routes, &[ObjectRef::new("VirtualService", "shop", "web")])
}

fn all(clusters: &[[Arc<Resource>; 2]], others: &[Arc<Resource>]) -> Vec<Arc<Resource>> {
    clusters.iter().flatten().chain(others).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_to_a_new_cluster_without_a_failed_request() {
    let Some(binary) = envoy_for("a_route_moves_to_a_new_cluster_without_a_failed_request") else { return };
    let (old, new) = (cluster("old", application("old").await), cluster("new", application("new").await));
    let (pilot, mut script) = Pilot::scripted(&all(std::slice::from_ref(&old), &[listener("web"), route_to("old")])).await;
    let envoy = Arc::new(Envoy::start(&binary, &pilot.ca, pilot.address).await);
    let url = format!("http://{}/", envoy.listens("web").await);
    envoy.get_until(&url, |status, body| (status, body) == (200, "old")).await;

    let (stop, failed, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (envoy, url, stop, failed, moved) = (envoy.clone(), url.clone(), stop.clone(), failed.clone(), moved.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                match envoy.get(&url).await {
                    (200, body) => _ = moved.fetch_add(usize::from(body == "new"), Ordering::Relaxed),
                    _ => _ = failed.fetch_add(1, Ordering::Relaxed),
                }
            }
        }
    });
    for (cluster, name) in [(&new, "new"), (&old, "old"), (&new, "new")] {
        script.publish(&all(std::slice::from_ref(cluster), &[listener("web"), route_to(name)]));
        envoy.get_until(&url, |_, body| body == name).await;
        let other = if name == "new" { "old::" } else { "new::" };
        envoy.get_until(&envoy.admin("/clusters"), |status, page| status == 200 && !page.contains(other)).await;
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_eq!(failed.load(Ordering::Relaxed), 0, "{}", envoy.log());
    assert!(moved.load(Ordering::Relaxed) > 0);
    let synced = pilot.debug("/debug/syncz").await;
    assert_eq!((&synced[0]["cluster_sent"], &synced[0]["route_sent"]), (&synced[0]["cluster_acked"], &synced[0]["route_acked"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_speak_the_older_form_of_the_protocol() {
    let Some(binary) = envoy_for("a_proxy_may_speak_the_older_form_of_the_protocol") else { return };
    let (old, new) = (cluster("old", application("old").await), cluster("new", application("new").await));
    let (pilot, mut script) = Pilot::scripted(&all(&[old], &[listener("web"), route_to("old")])).await;
    let envoy = Envoy::speaking("GRPC", &binary, &pilot.ca, pilot.address).await;
    let url = format!("http://{}/", envoy.listens("web").await);
    envoy.get_until(&url, |status, body| (status, body) == (200, "old")).await;

    script.publish(&all(&[new], &[listener("web"), listener("other"), route_to("new")]));
    envoy.get_until(&url, |_, body| body == "new").await;
    envoy.listens("other").await;
    envoy.get_until(&envoy.admin("/clusters"), |status, page| status == 200 && !page.contains("old::")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_cluster_works_at_once() {
    let Some(binary) = envoy_for("a_changed_cluster_works_at_once") else { return };
    let web = application("web").await;
    let (pilot, mut script) = Pilot::scripted(&all(&[cluster("web", web)], &[listener("web"), route_to("web")])).await;
    let envoy = Envoy::start(&binary, &pilot.ca, pilot.address).await;
    let url = format!("http://{}/", envoy.listens("web").await);
    envoy.get_until(&url, |status, _| status == 200).await;
    // Without its endpoints the changed cluster would wait for them, and so would its acknowledgement.
    script.publish(&all(&[cluster_with("web", "2s", web)], &[listener("web"), route_to("web")]));
    eventually("the changed cluster is acknowledged", || pilot.metric("pilot_proxy_convergence_time_count 1")).await;
    assert_eq!(envoy.get(&url).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_envoy_refuses_is_blamed_and_everything_else_goes_on() {
    let Some(binary) = envoy_for("a_listener_that_envoy_refuses_is_blamed_and_everything_else_goes_on") else { return };
    let (one, two) = (cluster("one", application("one").await), cluster("two", application("two").await));
    let clusters = [one, two];
    let (pilot, mut script) = Pilot::scripted(&all(&clusters, &[listener("web"), listener("other"), route_to("one")])).await;
    let envoy = Envoy::start(&binary, &pilot.ca, pilot.address).await;
    let url = format!("http://{}/", envoy.listens("web").await);
    envoy.get_until(&url, |status, body| (status, body) == (200, "one")).await;

    let bad = listener_with(
        "other",
        json!([{"name": "no such filter", "typed_config": {"@type": "type.googleapis.com/envoy.config.core.v3.Node"}}]),
    );
    script.publish(&all(&clusters, &[listener("web"), listener("third"), bad, route_to("two")]));
    envoy.get_until(&url, |_, body| body == "two").await;
    envoy.listens("third").await;
    // Its form before stays.
    envoy.listens("other").await;
    let page = pilot.debug("/debug/connections").await;
    let rejections = page[0]["rejections"].as_array().unwrap();
    assert_eq!(rejections.len(), 1, "{page}");
    assert_eq!((&rejections[0]["name"], &rejections[0]["sources"]), (&json!("other"), &json!(["Gateway shop/other"])));
    assert!(pilot.metric("pilot_total_xds_rejects 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_comes_back_after_a_restart_of_pilot_gets_only_what_changed() {
    let Some(binary) = envoy_for("a_proxy_that_comes_back_after_a_restart_of_pilot_gets_only_what_changed") else { return };
    let clusters = [cluster("one", application("one").await), cluster("two", application("two").await)];
    let (first, _script) = Pilot::scripted(&all(&clusters, &[listener("web"), route_to("one")])).await;
    let envoy = Envoy::start(&binary, &first.ca, first.address).await;
    let url = format!("http://{}/", envoy.listens("web").await);
    envoy.get_until(&url, |status, body| (status, body) == (200, "one")).await;
    eventually("everything is acknowledged", || first.metric(r#"pilot_xds_pushes{type="rds"} 1"#)).await;

    let (second, _script) = first.replaced(&all(&clusters, &[listener("web"), route_to("two")])).await;
    envoy.get_until(&url, |_, body| body == "two").await;
    for kind in ["cds", "eds", "lds"] {
        assert!(!second.metric(&format!(r#"pilot_xds_pushes{{type="{kind}"}} 1"#)), "{kind} was sent again");
    }
    assert!(second.metric(r#"pilot_xds_pushes{type="rds"} 1"#));
}
