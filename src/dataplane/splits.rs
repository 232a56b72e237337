//! Traffic that is split between versions.

use serde_json::Value;

use super::{
    cluster::{destination_rule, door, ingress_gateway, pod, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    http::{Echo, get},
};

fn versions() -> String {
    destination_rule("reviews", "  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]")
}

/// Which of the two answered each of 200 requests: the share of v2, of 1.
async fn share_of_v2(port: u16, host: &str) -> f64 {
    let mut v2 = 0;
    for _ in 0..200 {
        let answer: Value = serde_json::from_str(&get(port, "/", &[("host", host)]).await.body).unwrap();
        v2 += u32::from(answer["name"] == "v2");
    }
    f64::from(v2) / 200.0
}

/// The split, of the hosts and gateways that are told, as YAML.
fn split(hosts: &str, gateways: &str) -> String {
    let spec = format!(
        "  gateways: [{gateways}]
  http:
  - route:
    - {{destination: {{host: reviews, subset: v1}}, weight: 75}}
    - {{destination: {{host: reviews, subset: v2}}, weight: 25}}"
    );
    virtual_service("reviews", hosts, &spec)
}

#[test]
fn a_sidecar_and_a_gateway_split_by_weight() {
    block_on(async {
        let (v1, v2) = (Echo::start("v1").await, Echo::start("v2").await);
        let backends = service("shop", "reviews", "http:9080", &[("v1", v1.port), ("v2", v2.port)]);
        let client = pod("shop", "client", "app: client");
        let scene = Scene::of(&[&*backends, &client, &versions(), &split("reviews", "mesh")].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_9080").await;
        let share = share_of_v2(port, "reviews:9080").await;
        assert!((0.13..0.37).contains(&share), "{share}");

        let scene =
            Scene::of(&[&*backends, &ingress_gateway(), &door("shop.example"), &versions(), &split("shop.example", "door")].concat());
        let (_envoy, port) = scene.envoy("istio-system/gateway", "0.0.0.0_8080").await;
        let share = share_of_v2(port, "shop.example").await;
        assert!((0.13..0.37).contains(&share), "{share}");
        assert_eq!(get(port, "/", &[("host", "other.example")]).await.status, 404);
    });
}
