//! Agents, which ask for names on streams of their own.

use std::sync::Arc;

use envoy_api::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use prost_types::{Struct, Value, value::Kind};
use serde_json::json;

use super::{
    client::{Client, connect, names, node, subscription, web},
    server::Pilot,
    world::World,
};
use crate::compile::{Resource, ResourceType};
use crate::model::{AGENT_STREAM, Change, ObjectRef, Resolution, ServiceKey};
use crate::testing::mesh::bookinfo;
use ResourceType::{Cluster, Name};

fn is(kind: ResourceType, name: &str, text: &str) -> Arc<Resource> {
    Resource::of(kind, name, text, &[ObjectRef::new("ServiceEntry", "shop", name)])
}

/// The agent of pod web-1, which answers DNS queries.
fn agent() -> Node {
    let flag = |name: &str| (name.to_owned(), Value { kind: Some(Kind::BoolValue(true)) });
    let metadata = Struct { fields: [flag(AGENT_STREAM), flag("DNS_CAPTURE")].into() };
    Node { metadata: Some(metadata), ..node("web-1", "shop") }
}

#[tokio::test]
async fn an_agent_gets_names_alone_and_is_no_proxy() {
    let (pilot, mut script) = Pilot::scripted(&[is(Cluster, "c", "1"), is(Name, "a", "1"), is(Name, "b", "1")]).await;
    let channel = connect(pilot.address, &pilot.ca, &web()).await;
    let mut client = Client::open(channel.clone(), agent(), subscription(Name, &["*"])).await.unwrap();
    assert_eq!(names(&client.takes().await), ["a", "b"]);
    assert_eq!(pilot.debug("/debug/syncz").await, json!([]), "nobody takes it for a proxy that has no configuration");
    assert!(pilot.metric("pilot_xds 0"));

    script.publish(&[is(Cluster, "c", "2"), is(Name, "a", "2")]);
    assert_eq!(names(&client.takes().await), ["a", "-b"]);

    // One that comes back hears what it missed.
    let version = |resource: &Resource| format!("{:016x}", resource.hash);
    let held = [("a".to_owned(), version(&is(Name, "a", "2"))), ("gone".to_owned(), "1".to_owned())].into();
    let first = DeltaDiscoveryRequest { initial_resource_versions: held, ..subscription(Name, &["*"]) };
    script.publish(&[is(Name, "a", "2"), is(Name, "d", "1")]);
    let mut again = Client::open(channel, agent(), first).await.unwrap();
    assert_eq!(names(&again.takes().await), ["d", "-gone"]);
}

#[tokio::test]
async fn a_new_host_is_told_to_agents_and_its_end_is() {
    let mut world = World::of(bookinfo()).await;
    let channel = connect(world.pilot.address, &world.pilot.ca, &web()).await;
    let mut client = Client::open(channel, agent(), subscription(Name, &["*"])).await.unwrap();
    assert!(names(&client.takes().await).contains(&"reviews.shop.svc.cluster.local".to_owned()));
    let host = "new.example.com";
    let service = world.mesh.external("shop", host, Resolution::Dns, &["https:443"]);
    service.automatic_address = Some("240.240.0.9".parse().unwrap());
    let key: ServiceKey = service.key.clone();
    world.changes(&[Change::Service(key.clone())]).await;
    let told = client.takes().await;
    assert_eq!(names(&told), [host]);
    world.mesh.services.remove(&key);
    world.changes(&[Change::Service(key)]).await;
    assert_eq!(names(&client.takes().await), [format!("-{host}")]);
}
