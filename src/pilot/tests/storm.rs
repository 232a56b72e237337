//! Many proxies at once, and much that changes at once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use envoy_api::envoy::{
    config::endpoint::v3::ClusterLoadAssignment,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};
use futures::future::join_all;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{Client, connect, names, node, subscription, web},
    server::Pilot,
    world::World,
};
use crate::compile::ResourceType;
use crate::model::{Change, Changes, Endpoint, Health, Labels, ServiceKey, Snapshot};
use crate::testing::{TestCa, eventually, mesh::bookinfo};

/// Streams on one connection, as many as pilot allows.
const STREAMS: usize = 4;

/// Connections.
const CONNECTIONS: usize = 500;

/// All of a proxy's clusters, for each stream of a connection; to a proxy that has been there before, what it says it has is not told again.
async fn configured(address: SocketAddr, ca: &TestCa, place: usize, held: Option<&BTreeMap<String, String>>) -> Vec<Client> {
    let channel = connect(address, ca, &web()).await;
    let open = (0..STREAMS).map(|stream| {
        let (channel, node) = (channel.clone(), node(&format!("web-{place}-{stream}"), "shop"));
        let initial_resource_versions = held.cloned().unwrap_or_default().into_iter().collect();
        let first = DeltaDiscoveryRequest { initial_resource_versions, ..subscription(ResourceType::Cluster, &[]) };
        async move {
            let mut client = Client::open(channel, node, first).await.unwrap();
            // Who misses nothing is told nothing: then the answer to a later request shows that the first one was worked in.
            if held.is_some() {
                client.says(subscription(ResourceType::Endpoints, &["nowhere"])).await;
                assert_eq!(names(&client.takes().await), ["-nowhere"]);
            } else {
                assert!(names(&client.takes().await).len() > 5);
            }
            client
        }
    });
    join_all(open).await
}

/// The versions of all clusters.
async fn versions(pilot: &Pilot) -> BTreeMap<String, String> {
    let told = Client::of_web(pilot.address, &pilot.ca).await.takes().await;
    told.resources.into_iter().map(|resource| (resource.name, resource.version)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_proxies_that_come_back_at_once_are_all_configured_while_the_mesh_changes() {
    let mesh = bookinfo();
    let (snapshots, receiver) = mpsc::channel(1);
    let pilot = Pilot::of(ReceiverStream::new(receiver)).await;
    let first = mesh.snapshot();
    snapshots.send((first.clone(), Changes::new())).await.unwrap();
    pilot.ready().await;
    let changes = Arc::new(AtomicUsize::new(0));
    let churn = tokio::spawn({
        let (changes, key) = (changes.clone(), mesh.services.keys().next().unwrap().clone());
        async move {
            for version in 2.. {
                let snapshot = Arc::new(Snapshot { version, ..(*first).clone() });
                if snapshots.send((snapshot, [Change::Endpoints(key.clone())].into())).await.is_err() {
                    return;
                }
                changes.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let held = versions(&pilot).await;
    eventually("its proxy is gone", || pilot.metric("pilot_xds 0")).await;
    for held in [None, Some(&held)] {
        let (start, before) = (Instant::now(), changes.load(Ordering::Relaxed));
        let clients = join_all((0..CONNECTIONS).map(|place| configured(pilot.address, &pilot.ca, place, held))).await;
        let took = start.elapsed();
        println!("{} streams in {took:?}", CONNECTIONS * STREAMS);
        assert_eq!(clients.iter().map(Vec::len).sum::<usize>(), CONNECTIONS * STREAMS);
        assert!(pilot.metric("pilot_xds 2000"));
        assert!(changes.load(Ordering::Relaxed) > before + 10, "changes go on meanwhile");
        assert!(took.as_secs() < 30, "{took:?}");
        drop(clients);
        eventually("all are gone", || pilot.metric("pilot_xds 0")).await;
    }
    churn.abort();
}

fn endpoint(n: usize) -> Endpoint {
    Endpoint {
        address: format!("10.9.{}.{}", n / 250, n % 250 + 1).into(),
        hostname: None,
        port: 9080,
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

fn endpoints(response: &DeltaDiscoveryResponse) -> usize {
    let body = &response.resources[0].resource.as_ref().unwrap().value;
    let assignment: ClusterLoadAssignment = prost::Message::decode(&body[..]).unwrap();
    assignment.endpoints.iter().map(|group| group.lb_endpoints.len()).sum()
}

#[tokio::test]
async fn endpoints_that_come_and_go_by_the_thousand_are_told_together_and_exactly() {
    let mut mesh = bookinfo();
    let key: ServiceKey = mesh.service("shop", "many", Some("10.96.0.99"), &["http:9080"]).key.clone();
    mesh.others.insert(key.clone(), vec![endpoint(0)]);
    let mut world = World::of(mesh).await;
    let name = "outbound|9080||many.shop.svc.cluster.local";
    let channel = connect(world.pilot.address, &world.pilot.ca, &web()).await;
    let mut client = Client::open(channel, node("web-1", "shop"), subscription(ResourceType::Endpoints, &[name])).await.unwrap();
    client.takes().await;
    // The proxy says nothing while they come and go.
    for count in (1..200).map(|n| n * 5).chain((1..200).rev().map(|n| n * 5)).chain([1, 2]) {
        world.mesh.others.insert(key.clone(), (0..count).map(endpoint).collect());
        world.changes(&[Change::Endpoints(key.clone())]).await;
    }
    // One response was out; the next ones have the end, or at most what was waiting before it.
    let mut responses = 1;
    while endpoints(&client.takes().await) != 2 {
        responses += 1;
    }
    assert!(responses <= 4, "{responses}");
    client.says(subscription(ResourceType::Endpoints, &["nowhere"])).await;
    assert_eq!(names(&client.takes().await), ["-nowhere"]);
}
