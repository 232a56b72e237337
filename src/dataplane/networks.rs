//! Workloads of another network, which is reached by its gateway alone.

use serde_json::Value;

use super::{
    cluster::{CLIENT, entry, pod},
    scene::Scene,
};
use crate::model::SpiffeId;
use crate::testing::{
    TestCa, block_on,
    bootstrap::Static,
    envoy::start,
    free_port,
    http::get,
    https::{Identity, TlsEcho},
};

const DOOR: &str = "
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: east, namespace: istio-system}
spec:
  selector: {istio: eastgateway}
  servers: [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}}]
";

/// A cluster with a client in network `near`, and a host with that endpoint in network `far`, whose gateway is at that port of loopback.
fn scene(endpoint: &str, gateway: u16) -> Scene {
    let spec = format!(
        "hosts: [vm.far.local], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, location: MESH_INTERNAL, \
         endpoints: [{{{endpoint}}}]"
    );
    let client = CLIENT.replace("{app: client}", "{app: client, topology.istio.io/network: near}");
    let east = pod("istio-system", "east", "istio: eastgateway, topology.istio.io/network: far");
    let networks = format!("meshNetworks: {{far: {{gateways: [{{address: 127.0.0.1, port: {gateway}}}]}}}}");
    Scene::with(&[&*client, &east, DOOR, &entry("shop", "vm", &spec)].concat(), &networks)
}

#[test]
fn a_workload_of_another_network_is_reached_through_its_gateway_by_mtls_and_not_without() {
    block_on(async {
        let (ca, gateway) = (TestCa::new("mesh"), free_port());
        let vm = TlsEcho::demanding("vm", &Identity::of(&ca, &["spiffe://cluster.local/ns/shop/sa/vm"]), &ca).await;
        let known = format!("address: 127.0.0.1, ports: {{http: {}}}, network: far, serviceAccount: vm", vm.port);
        let from_there = Static::of(&scene(&known, gateway).compiled("istio-system/east"));
        let identity = SpiffeId::new("cluster.local", "istio-system", "east");
        let east = start(from_there.identified(&ca, &identity).listening("0.0.0.0_15443", gateway).bootstrap()).await;
        let cases = [
            ("at an address that means nothing here", known.replace("127.0.0.1", "192.0.2.9"), 200, 1),
            ("without an address", format!("ports: {{http: {}}}, network: far, serviceAccount: vm", vm.port), 200, 2),
            ("that speaks no mTLS", format!("address: 127.0.0.1, ports: {{http: {}}}, network: far", vm.port), 503, 2),
        ];
        for (what, endpoint, status, passed) in cases {
            let (envoy, port) = scene(&endpoint, gateway).envoy_of(&ca, "shop/client", "0.0.0.0_80").await;
            let answer = get(port, "/", &[("host", "vm.far.local")]).await;
            assert_eq!(answer.status, status, "an endpoint {what}: {answer:?}\n{}", envoy.log());
            if status == 200 {
                assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["name"], "vm", "{what}");
            }
            assert_eq!(east.counted("vm.far.local.*upstream_cx_total").await, passed, "{what}");
        }
    });
}
