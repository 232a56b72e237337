//! The way out of the mesh by a gateway.

use serde_json::Value;

use super::{
    cluster::{CLIENT, entry, pod, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::start,
    free_port,
    http::{Echo, get},
};

const DOOR: &str = "
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-out, namespace: shop}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [api.example]}]
";

#[test]
fn a_host_outside_is_called_by_way_of_the_egress_gateway_and_no_other_is() {
    block_on(async {
        let (api, inner) = (Echo::start("api").await, free_port());
        let spec = format!(
            "hosts: [api.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, location: MESH_EXTERNAL, \
             endpoints: [{{address: 127.0.0.1, ports: {{http: {}}}}}]",
            api.port
        );
        let routes = "  gateways: [mesh, way-out]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [way-out], port: 8080}]
    headers: {request: {set: {x-way: egress}}}
    route: [{destination: {host: api.example, port: {number: 80}}}]";
        let gateway = service("istio-system", "istio-egressgateway", "http2:80", &[("v1", inner)]);
        let pod = pod("istio-system", "egress", "istio: egressgateway");
        let objects = [CLIENT, &gateway, &pod, DOOR, &entry("shop", "api", &spec), &virtual_service("api", "api.example", routes)].concat();
        let scene = Scene::with(&objects, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}");
        let out = Static::of(&scene.compiled("istio-system/egress")).listening("0.0.0.0_8080", inner);
        let out = start(out.bootstrap()).await;
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        let answer = get(port, "/", &[("host", "api.example")]).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        assert_eq!((body["name"].as_str(), body["headers"]["x-way"].as_str()), (Some("api"), Some("egress")));
        assert_eq!(out.counted("api.example;.upstream_rq_total").await, 1);
        assert_eq!(get(port, "/", &[("host", "other.example")]).await.status, 502, "nobody declared it");
        assert_eq!(get(inner, "/", &[("host", "other.example")]).await.status, 404);
    });
}
