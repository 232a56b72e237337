//! The configuration with which a proxy starts, as users change it.

use std::sync::Arc;

use envoy_api::envoy::config::{bootstrap::v3::Bootstrap, core::v3::Node};
use prost::Message;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{
    client::{connect, node, web},
    world::World,
};
use crate::model::{ConfigObject, PatchContext, PatchOperation, PatchedObject, SpiffeId};
use crate::runtime::change_bootstrap;
use crate::testing::mesh::{TestMesh, envoy_filter, patch};

/// An EnvoyFilter for workloads with these labels that merges a value into what their Envoys start with.
fn merging(name: &str, selector: &[(&str, &str)], value: Value) -> ConfigObject {
    let operation = PatchOperation::Merge(Arc::new(value));
    envoy_filter("shop", name, selector, vec![patch(0, PatchedObject::Bootstrap, PatchContext::Any, operation)]).into()
}

async fn asks(world: &World, identity: &SpiffeId, node: Option<Node>) -> Result<Bootstrap, Status> {
    let channel = connect(world.pilot.address, &world.pilot.ca, identity).await;
    let interval = prost_types::Duration { seconds: 5, nanos: 0 };
    let own = Bootstrap { node, stats_flush_interval: Some(interval), ..Bootstrap::default() };
    let changed = change_bootstrap(channel, own.encode_to_vec().into()).await?;
    Ok(Bootstrap::decode(changed).unwrap())
}

async fn world() -> World {
    let mut mesh = TestMesh::default();
    mesh.workload("shop", "web-1", "10.0.0.1", &[("app", "web")]);
    let faster = json!({"stats_flush_interval": "0.5s", "static_resources": {"clusters": [{"name": "added"}]}});
    mesh.objects = vec![
        merging("faster", &[("app", "web")], faster),
        merging("others", &[("app", "other")], json!({"flags_path": "never"})),
        merging("misspelt", &[], json!({"stats_flush_intervall": "1s"})),
    ];
    World::of(mesh).await
}

#[tokio::test]
async fn a_proxy_gets_its_own_configuration_with_the_changes_that_are_for_it() {
    let world = world().await;
    let changed = asks(&world, &web(), Some(node("web-1", "shop"))).await.unwrap();
    // A duration is replaced, not added up.
    assert_eq!(changed.stats_flush_interval, Some(prost_types::Duration { seconds: 0, nanos: 500_000_000 }));
    let clusters: Vec<String> = changed.static_resources.unwrap().clusters.into_iter().map(|it| it.name).collect();
    assert_eq!(clusters, ["added"]);
    assert_eq!((changed.flags_path.as_str(), changed.node.unwrap().id), ("", node("web-1", "shop").id));
}

#[tokio::test]
async fn nobody_gets_the_configuration_of_another() {
    let world = world().await;
    let other = SpiffeId::new("cluster.local", "elsewhere", "web");
    assert_eq!(asks(&world, &other, Some(node("web-1", "shop"))).await.unwrap_err().code(), Code::PermissionDenied);
    let account = SpiffeId::new("cluster.local", "shop", "other");
    assert_eq!(asks(&world, &account, Some(node("web-1", "shop"))).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(asks(&world, &web(), None).await.unwrap_err().code(), Code::InvalidArgument);
}
