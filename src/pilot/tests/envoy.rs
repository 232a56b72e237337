//! What real proxies make of it.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use envoy_api::{
    envoy::config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration},
    json::from_value,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    load::Load,
    proxy::{self, ads, ask_until, assignment, listens, socket},
    server::Pilot,
};
use crate::compile::{Resource, ResourceType};
use crate::model::{Change, Changes, Endpoint, Health, HostPattern, Labels, ObjectRef, Snapshot, VirtualService};
use crate::testing::{
    eventually, eventually_seen, free_port,
    http::try_get,
    mesh::{TestMesh, forward, fqdn, http_gateway, to, virtual_service},
};

/// An application that answers with its name.
pub(super) async fn application(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async move || name));
    tokio::spawn(async move { axum::serve::serve(listener, router).await });
    address
}

/// A cluster with its endpoint.
pub(super) fn cluster(name: &str, endpoint: SocketAddr) -> [Arc<Resource>; 2] {
    cluster_with(name, "1s", endpoint)
}

pub(super) fn cluster_with(name: &str, connect_timeout: &str, endpoint: SocketAddr) -> [Arc<Resource>; 2] {
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
pub(super) fn listener(name: &str) -> Arc<Resource> {
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

pub(super) fn listener_with(name: &str, filters: Value) -> Arc<Resource> {
    let listener: Listener =
        from_value(json!({"name": name, "address": socket("127.0.0.1", 0), "filter_chains": [{"filters": filters}]})).unwrap();
    Resource::encoded(ResourceType::Listener, name, &listener, &[ObjectRef::new("Gateway", "shop", name)])
}

/// All requests go to that cluster.
pub(super) fn route_to(cluster: &str) -> Arc<Resource> {
    let routes: RouteConfiguration = from_value(json!({"name": "80", "virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]},
    ]}))
    .unwrap();
    Resource::encoded(ResourceType::Route, "80", &routes, &[ObjectRef::new("VirtualService", "shop", "web")])
}

pub(super) fn all(clusters: &[[Arc<Resource>; 2]], others: &[Arc<Resource>]) -> Vec<Arc<Resource>> {
    clusters.iter().flatten().chain(others).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_to_a_new_cluster_without_a_failed_request() {
    let (old, new) = (cluster("old", application("old").await), cluster("new", application("new").await));
    let (pilot, mut script) = Pilot::scripted(&all(std::slice::from_ref(&old), &[listener("web"), route_to("old")])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.body == "old").await;

    let load = Load::of(move || async move { try_get(port, "/", &[]).await.is_ok_and(|answer| answer.status == 200) });
    for (cluster, name) in [(&new, "new"), (&old, "old"), (&new, "new")] {
        script.publish(&all(std::slice::from_ref(cluster), &[listener("web"), route_to(name)]));
        ask_until(&envoy, port, "/", |answer| answer.body == name).await;
        let other = if name == "new" { "old::" } else { "new::" };
        ask_until(&envoy, envoy.admin_port, "/clusters", |page| !page.body.contains(other)).await;
    }
    let (asked, failed) = load.end().await;
    assert!(asked > 0 && failed == 0, "{failed} of {asked} failed\n{}", envoy.log());
    // The last acknowledgement may still be on its way.
    eventually_seen("all that was sent is acknowledged", async || {
        let synced = &pilot.debug("/debug/syncz").await[0];
        (&synced["cluster_sent"], &synced["route_sent"]) == (&synced["cluster_acked"], &synced["route_acked"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_speak_the_older_form_of_the_protocol() {
    let (old, new) = (cluster("old", application("old").await), cluster("new", application("new").await));
    let (pilot, mut script) = Pilot::scripted(&all(&[old], &[listener("web"), route_to("old")])).await;
    let envoy = proxy::start("GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.body == "old").await;

    script.publish(&all(&[new], &[listener("web"), listener("other"), route_to("new")]));
    ask_until(&envoy, port, "/", |answer| answer.body == "new").await;
    listens(&envoy, "other").await;
    ask_until(&envoy, envoy.admin_port, "/clusters", |page| !page.body.contains("old::")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_cluster_works_at_once() {
    let web = application("web").await;
    let (pilot, mut script) = Pilot::scripted(&all(&[cluster("web", web)], &[listener("web"), route_to("web")])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.status == 200).await;
    // Without its endpoints the changed cluster would wait for them, and so would its acknowledgement.
    script.publish(&all(&[cluster_with("web", "2s", web)], &[listener("web"), route_to("web")]));
    eventually("the changed cluster is acknowledged", || pilot.metric("pilot_proxy_convergence_time_count 1")).await;
    assert_eq!(try_get(port, "/", &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_envoy_refuses_is_blamed_and_everything_else_goes_on() {
    let (one, two) = (cluster("one", application("one").await), cluster("two", application("two").await));
    let clusters = [one, two];
    let (pilot, mut script) = Pilot::scripted(&all(&clusters, &[listener("web"), listener("other"), route_to("one")])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.body == "one").await;

    let bad = listener_with(
        "other",
        json!([{"name": "no such filter", "typed_config": {"@type": "type.googleapis.com/envoy.config.core.v3.Node"}}]),
    );
    script.publish(&all(&clusters, &[listener("web"), listener("third"), bad, route_to("two")]));
    ask_until(&envoy, port, "/", |answer| answer.body == "two").await;
    listens(&envoy, "third").await;
    // Its form before stays.
    listens(&envoy, "other").await;
    let page = pilot.debug("/debug/connections").await;
    let rejections = page[0]["rejections"].as_array().unwrap();
    assert_eq!(rejections.len(), 1, "{page}");
    assert_eq!((&rejections[0]["name"], &rejections[0]["sources"]), (&json!("other"), &json!(["Gateway shop/other"])));
    assert!(pilot.metric("pilot_total_xds_rejects 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_comes_back_after_a_restart_of_pilot_gets_only_what_changed() {
    let clusters = [cluster("one", application("one").await), cluster("two", application("two").await)];
    let (first, _script) = Pilot::scripted(&all(&clusters, &[listener("web"), route_to("one")])).await;
    let envoy = proxy::start("DELTA_GRPC", &first.ca, first.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.body == "one").await;
    eventually("everything is acknowledged", || first.metric(r#"pilot_xds_pushes{type="rds"} 1"#)).await;

    let (second, _script) = first.replaced(&all(&clusters, &[listener("web"), route_to("two")])).await;
    ask_until(&envoy, port, "/", |answer| answer.body == "two").await;
    for kind in ["cds", "eds", "lds"] {
        assert!(!second.metric(&format!(r#"pilot_xds_pushes{{type="{kind}"}} 1"#)), "{kind} was sent again");
    }
    assert!(second.metric(r#"pilot_xds_pushes{type="rds"} 1"#));
}

/// An application outside of the mesh as the endpoint of a service's port `http`.
pub(super) fn endpoint_at(address: SocketAddr) -> Endpoint {
    Endpoint {
        address: address.ip().to_string().into(),
        hostname: None,
        port: address.port(),
        service_port: "http".into(),
        health: Health::Healthy,
        labels: Arc::new(Labels::new()),
        workload: None,
        identity: None,
        mtls: false,
        locality: "".into(),
        weight: 1,
    }
}

/// A mesh with services one and two, of which a gateway's port leads to that one.
pub(super) fn mesh_behind_a_gateway(port: u16, one: SocketAddr, two: SocketAddr, target: &str) -> (TestMesh, VirtualService) {
    let mut mesh = TestMesh::default();
    mesh.config.enable_auto_mtls = false;
    for (name, address) in [("one", one), ("two", two)] {
        let key = mesh.service("shop", name, Some("10.96.0.1"), &["http:80"]).key.clone();
        mesh.others.insert(key, vec![endpoint_at(address)]);
    }
    mesh.gateways.push(http_gateway("shop", "edge", &[("app", "web")], port));
    let route = forward(Vec::new(), vec![to(&fqdn("shop", target), None, 1)]);
    let mut service = virtual_service("shop", "web", &[HostPattern::new("*")], vec![route]);
    service.gateways = vec!["shop/edge".into()];
    mesh.virtual_services.push(service.clone());
    (mesh, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_configured_by_the_mesh_and_follows_a_changed_virtual_service() {
    let (one, two) = (application("one").await, application("two").await);
    // Gateways say their port, so it has to be a free one beforehand.
    let port = free_port();
    let (snapshots, receiver) = mpsc::channel(1);
    let pilot = Pilot::of(ReceiverStream::new(receiver)).await;
    snapshots.send((mesh_behind_a_gateway(port, one, two, "one").0.snapshot(), Changes::new())).await.unwrap();
    let envoy = proxy::start_gateway(&pilot.ca, pilot.address).await;
    ask_until(&envoy, port, "/", |answer| answer.body == "one").await;

    let (mesh, service) = mesh_behind_a_gateway(port, one, two, "two");
    let snapshot = Snapshot { version: 2, ..(*mesh.snapshot()).clone() };
    snapshots.send((Arc::new(snapshot), [Change::Config(service.origin)].into())).await.unwrap();
    ask_until(&envoy, port, "/", |answer| answer.body == "two").await;
    assert!(pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
    assert!(pilot.metric(r#"pilot_xds_pushes{type="lds"} 1"#), "the listener has not changed");
    assert!(pilot.metric(r#"pilot_xds_pushes{type="rds"} 2"#));
    let dump = pilot.debug("/debug/config_dump?proxyID=web-1.shop").await;
    let routes = dump["resources"].as_array().unwrap().iter().find(|resource| resource["type"] == "rds").unwrap();
    assert!(routes["sources"].as_array().unwrap().contains(&json!("VirtualService shop/web")), "{routes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_waits_for_endpoints_while_pilot_restarts_gets_them_again() {
    let web = application("web").await;
    let (first, mut script) = Pilot::scripted(&all(&[cluster("web", web)], &[listener("web"), route_to("web")])).await;
    let envoy = proxy::start("DELTA_GRPC", &first.ca, first.address).await;
    let port = listens(&envoy, "web").await;
    ask_until(&envoy, port, "/", |answer| answer.status == 200).await;
    // The changed cluster comes, and pilot is gone before its endpoints are told. Under their name the proxy holds those of before.
    let [changed, endpoints] = cluster_with("web", "2s", web);
    let warming = async |count: u8| {
        let line = format!("cluster_manager.warming_clusters: {count}");
        let page = try_get(envoy.admin_port, "/stats", &[]).await;
        page.is_ok_and(|page| page.body.lines().any(|shown| shown == line))
    };
    script.publish(&[changed.clone(), listener("web"), route_to("web")]);
    eventually_seen("the cluster waits", async || warming(1).await).await;
    let (_second, _script) = first.replaced(&[changed, endpoints, listener("web"), route_to("web")]).await;
    // Envoy's own patience is longer than this.
    eventually_seen("the cluster is complete", async || warming(0).await).await;
    assert_eq!(try_get(port, "/", &[]).await.unwrap().status, 200);
}
