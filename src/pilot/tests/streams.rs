//! Proxies that connect, take, refuse, do not read, or are not who they say they are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use envoy_api::envoy::{config::endpoint::v3::ClusterLoadAssignment, service::discovery::v3::DeltaDiscoveryRequest};
use http::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{
    client::{Client, connect, connect_with, names, node, subscription, web},
    server::Pilot,
};
use crate::compile::{Resource, ResourceType};
use crate::model::{Change, Changes, ObjectRef, Snapshot, SpiffeId, Workload, WorkloadKey};
use crate::testing::{eventually, eventually_seen};
use ResourceType::{Cluster, Endpoints};

fn is(kind: ResourceType, name: &str, text: &str) -> Arc<Resource> {
    Resource::of(kind, name, text, &[ObjectRef::new("DestinationRule", "shop", name)])
}

/// A mesh with one pod.
fn with_pod(name: &str, identity: SpiffeId) -> (Arc<Snapshot>, Changes) {
    let key = WorkloadKey::new("shop", name);
    let workload = Workload {
        key: key.clone(),
        addresses: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        identity,
        node: "".into(),
        locality: "".into(),
        host_network: false,
        named_ports: Vec::new(),
    };
    let mut snapshot = Snapshot::default();
    snapshot.workloads.insert_mut(key.clone(), Arc::new(workload));
    (Arc::new(snapshot), [Change::Workload(key)].into())
}

#[tokio::test]
async fn a_proxy_gets_its_configuration_and_then_only_what_changes() {
    let (pilot, mut script) = Pilot::scripted(&[is(Cluster, "a", "1"), is(Cluster, "b", "1"), is(Endpoints, "a", "1")]).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    let first = client.takes().await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.resources[0].resource.as_ref().unwrap().value, is(Cluster, "a", "1").body);
    client.says(subscription(Endpoints, &["a", "nowhere"])).await;
    assert_eq!(names(&client.takes().await), ["a", "-nowhere"]);

    script.publish(&[is(Cluster, "a", "1"), is(Cluster, "b", "2"), is(Endpoints, "a", "1")]);
    assert_eq!(names(&client.takes().await), ["b"]);
    eventually("the change is acknowledged", || pilot.metric("pilot_proxy_convergence_time_count 1")).await;
    assert!(pilot.metric("pilot_xds 1"));
    assert!(pilot.metric(r#"pilot_xds_pushes{type="cds"} 2"#));
    let [status] = &pilot.debug("/debug/syncz").await.as_array().unwrap().clone()[..] else { panic!("one proxy") };
    assert_eq!((&status["proxy"], &status["cluster_acked"], &status["route_sent"]), (&json!("web-1.shop"), &json!("3"), &json!("")));
    assert_eq!(status["cluster_sent"], status["cluster_acked"]);

    drop(client);
    eventually("the proxy is gone", || pilot.metric("pilot_xds 0")).await;
}

#[tokio::test]
async fn a_proxy_that_comes_back_and_misses_nothing_counts_as_synced() {
    let cluster = is(Cluster, "a", "1");
    let (pilot, _script) = Pilot::scripted(std::slice::from_ref(&cluster)).await;
    let channel = connect(pilot.address, &pilot.ca, &web()).await;
    let versions = [("a".to_owned(), format!("{:016x}", cluster.hash))].into();
    let first = DeltaDiscoveryRequest { initial_resource_versions: versions, ..subscription(Cluster, &[]) };
    let mut client = Client::open(channel, node("web-1", "shop"), first).await.unwrap();
    // The answer to a later request shows that the first one was worked in.
    client.says(subscription(Endpoints, &["a"])).await;
    assert_eq!(names(&client.hears().await.unwrap()), ["-a"]);
    let status = pilot.debug("/debug/syncz").await;
    assert_eq!((&status[0]["cluster_sent"], &status[0]["cluster_acked"]), (&json!("0"), &json!("0")));
    assert_eq!((&status[0]["endpoint_sent"], &status[0]["endpoint_acked"]), (&json!("1"), &json!("")));
}

#[tokio::test]
async fn a_refused_resource_is_told_with_the_objects_that_it_came_from() {
    let (pilot, mut script) = Pilot::scripted(&[is(Cluster, "a", "bad"), is(Cluster, "b", "1")]).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    let first = client.hears().await.unwrap();
    client.answers(&first, Some("Error adding/updating cluster(s) a: bad value")).await;
    assert_eq!(names(&client.takes().await), ["b"]);
    assert!(pilot.metric("pilot_total_xds_rejects 1"));
    assert!(pilot.metric("pilot_xds 1") && pilot.metric("pilot_xds_stale 1"));
    let page = pilot.debug("/debug/connections").await;
    let rejection = &page[0]["rejections"][0];
    assert_eq!((&rejection["type"], &rejection["sources"]), (&json!("cds"), &json!(["DestinationRule shop/a"])));
    assert_eq!(rejection["message"], "Error adding/updating cluster(s) a: bad value");

    script.publish(&[is(Cluster, "a", "good"), is(Cluster, "b", "1")]);
    assert_eq!(names(&client.takes().await), ["a"]);
    eventually("it has all", || pilot.metric("pilot_xds_stale 0")).await;
}

#[tokio::test]
async fn whoever_claims_to_be_somebody_else_is_refused() {
    let pilot = Pilot::of(futures::stream::iter([with_pod("admin-1", SpiffeId::new("cluster.local", "shop", "admin"))])).await;
    pilot.ready().await;
    let channel = connect(pilot.address, &pilot.ca, &web()).await;
    for (pod, namespace) in [("web-1", "bank"), ("admin-1", "shop")] {
        let mut client = Client::open(channel.clone(), node(pod, namespace), subscription(Cluster, &[])).await.unwrap();
        let status = client.hears().await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(
            status.message().contains("the certificate is that of") || status.message().contains("its certificate is that of"),
            "{status}"
        );
    }
    let mut client = Client::open(channel.clone(), node("web-1", "shop"), subscription(Cluster, &[])).await.unwrap();
    assert_eq!(client.takes().await.type_url, Cluster.type_url());
    assert!(pilot.metric("pilot_xds_refused_nodes 2"));
    let bad = envoy_api::envoy::config::core::v3::Node::default();
    let mut client = Client::open(channel, bad, subscription(Cluster, &[])).await.unwrap();
    assert_eq!(client.hears().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nothing_is_served_before_the_mesh_is_known() {
    let (snapshots, receiver) = mpsc::channel(1);
    let pilot = Pilot::of(ReceiverStream::new(receiver)).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    eventually("the proxy is connected", || pilot.metric("pilot_xds 1")).await;
    assert_eq!(pilot.readiness.awaited(), ["the mesh's configuration"]);
    assert!(futures::FutureExt::now_or_never(client.hears()).is_none());
    snapshots.send((Arc::new(Snapshot::default()), Changes::new())).await.unwrap();
    client.takes().await;
    pilot.ready().await;
}

#[tokio::test]
async fn a_proxy_whose_pod_turns_out_to_be_somebody_elses_is_cut_off() {
    let (snapshots, receiver) = mpsc::channel(1);
    let pilot = Pilot::of(ReceiverStream::new(receiver)).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    snapshots.send((Arc::new(Snapshot::default()), Changes::new())).await.unwrap();
    client.takes().await;
    snapshots.send(with_pod("web-1", SpiffeId::new("cluster.local", "shop", "admin"))).await.unwrap();
    assert_eq!(client.hears().await.unwrap_err().code(), Code::Unavailable);
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    assert_eq!(client.hears().await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_proxy_that_does_not_read_holds_up_nobody_and_misses_what_was_replaced() {
    // Ten megabytes, far beyond what connections hold.
    let resources = |version: &str| -> Vec<Arc<Resource>> {
        let text = version.repeat(10_000);
        (0..1000).map(|n| is(Cluster, &n.to_string(), &text)).collect()
    };
    let (pilot, mut script) = Pilot::scripted(&resources("1")).await;
    let mut lazy = Client::of_web(pilot.address, &pilot.ca).await;
    let mut other = Client::of_web(pilot.address, &pilot.ca).await;
    assert_eq!(other.takes().await.resources.len(), 1000);
    for version in ["2", "3", "4"] {
        script.publish(&resources(version));
        assert_eq!(other.takes().await.resources[0].resource.as_ref().unwrap().value, is(Cluster, "0", &version.repeat(10_000)).body);
    }
    let first = lazy.takes().await;
    assert_eq!(first.resources[0].resource.as_ref().unwrap().value, is(Cluster, "0", &"1".repeat(10_000)).body);
    let second = lazy.takes().await;
    assert_eq!(second.resources[0].resource.as_ref().unwrap().value, is(Cluster, "0", &"4".repeat(10_000)).body);
    assert_eq!((first.nonce.as_str(), second.nonce.as_str()), ("1", "2"));
}

#[tokio::test]
async fn streams_end_when_pilot_does() {
    let (pilot, _script) = Pilot::scripted(&[is(Cluster, "a", "1")]).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    client.takes().await;
    pilot.stop();
    assert_eq!(client.hears().await.unwrap_err().code(), Code::Unavailable);
    pilot.ended().await;
}

#[tokio::test]
async fn the_dump_shows_what_a_proxy_has_and_why() {
    let assignment = ClusterLoadAssignment { cluster_name: "a".to_owned(), ..ClusterLoadAssignment::default() };
    let resource = Resource::encoded(Endpoints, "a", &assignment, &[ObjectRef::new("Service", "shop", "a")]);
    let (pilot, _script) = Pilot::scripted(&[resource]).await;
    let mut client = Client::of_web(pilot.address, &pilot.ca).await;
    client.takes().await;
    let dump = pilot.debug("/debug/config_dump?proxyID=web-1.shop").await;
    let shown = &dump["resources"][0];
    assert_eq!((&shown["type"], &shown["name"], &shown["sources"]), (&json!("eds"), &json!("a"), &json!(["Service shop/a"])));
    let parts = dump["configs"].as_array().unwrap();
    let endpoints = parts.iter().find(|it| it["@type"] == "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump").unwrap();
    assert_eq!(endpoints["dynamic_endpoint_configs"][0]["endpoint_config"]["cluster_name"], "a");
    assert_eq!(pilot.debug_from("127.0.0.1:5", "/debug/config_dump").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(pilot.debug_from("127.0.0.1:5", "/debug/config_dump?proxyID=x.y").await.0, StatusCode::NOT_FOUND);
    assert_eq!(pilot.debug_from("10.0.0.9:5", "/debug/syncz").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_stream_ends_before_its_peers_certificate_does_and_the_next_one_proves_itself_anew() {
    let (pilot, _script) = Pilot::scripted(&[is(Cluster, "a", "1")]).await;
    let lifetime = Duration::from_secs(4);
    let expiring = connect_with(pilot.address, &pilot.ca, &pilot.ca.workload_for(&web(), lifetime)).await;
    let start = Instant::now();
    let open = async || Client::open(expiring.clone(), node("web-1", "shop"), subscription(Cluster, &[])).await;
    let mut client = open().await.unwrap();
    client.takes().await;
    let end = client.ended().await;
    assert_eq!(end.code(), Code::Ok, "an orderly end, so that the proxy complains of nothing");
    // Certificates count whole seconds.
    assert!(start.elapsed() > lifetime / 3 && start.elapsed() < lifetime, "{:?}", start.elapsed());
    // The connection that carried it carries nothing more: the client has to show a certificate again, and its own has ended meanwhile.
    eventually_seen("the certificate is asked for again", async || match open().await {
        Err(_) => true,
        Ok(mut client) => client.ended().await.code() != Code::Ok,
    })
    .await;
}
