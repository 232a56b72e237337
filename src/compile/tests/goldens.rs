//! A few resources as a whole, for orientation: what a person sees in Envoy's configuration dump.

use super::{compiled, json};
use crate::compile::ResourceType;
use crate::testing::mesh::bookinfo;

#[test]
fn a_cluster() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    insta::assert_yaml_snapshot!("cluster", json(&compiled, ResourceType::Cluster, "outbound|9080|v1|reviews.shop.svc.cluster.local"));
}

#[test]
fn a_route_table() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    insta::assert_yaml_snapshot!("routes", json(&compiled, ResourceType::Route, "9080"));
}

#[test]
fn an_outbound_listener() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    insta::assert_yaml_snapshot!("listener", json(&compiled, ResourceType::Listener, "0.0.0.0_9080"));
}
