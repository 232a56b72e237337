//! A real Envoy on loopback that gets its configuration from a pilot.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::client::web;
use crate::testing::{
    TestCa,
    envoy::{self, RunningEnvoy},
    http::{Answer, try_get},
};

/// Starts the sidecar of pod web-1 of namespace shop, which speaks that form of the protocol.
pub(super) async fn start(form: &str, ca: &TestCa, pilot: SocketAddr) -> RunningEnvoy {
    envoy::start(bootstrap(form, "sidecar", ca, pilot)).await
}

/// Starts a gateway in the same pod.
pub(super) async fn start_gateway(ca: &TestCa, pilot: SocketAddr) -> RunningEnvoy {
    envoy::start(bootstrap("DELTA_GRPC", "router", ca, pilot)).await
}

/// Asks a port of loopback until the answer satisfies.
pub(super) async fn ask_until(envoy: &RunningEnvoy, port: u16, path: &str, satisfied: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = try_get(port, path, &[]).await;
        match answer {
            Ok(answer) if satisfied(&answer) => return answer,
            _ => assert!(Instant::now() < deadline, "port {port} {path}: {answer:?}\n{}", envoy.log()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a listener, and returns its port.
pub(super) async fn listens(envoy: &RunningEnvoy, name: &str) -> u16 {
    let line = format!("{name}::");
    ask_until(envoy, envoy.admin_port, "/listeners", |page| page.body.lines().any(|shown| shown.starts_with(&line))).await;
    envoy.port_of(name).await
}

fn bootstrap(form: &str, role: &str, ca: &TestCa, pilot: SocketAddr) -> Value {
    let key = KeyPair::generate().unwrap();
    let certificate = ca.sign(&key, &[&web().to_string()], &[]);
    json!({
        "node": {
            "id": format!("{role}~127.0.0.1~web-1.shop~shop.svc.cluster.local"),
            "cluster": "web.shop",
            "metadata": {"NAMESPACE": "shop", "NAME": "web-1", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web"}},
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": form,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": assignment("xds-grpc", pilot),
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "transport_socket": {"name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                    "alpn_protocols": ["h2"],
                    "tls_certificates": [{
                        "certificate_chain": {"inline_string": certificate.pem()},
                        "private_key": {"inline_string": key.serialize_pem()},
                    }],
                    "validation_context": {
                        "trusted_ca": {"inline_string": ca.pem()},
                        "match_typed_subject_alt_names": [
                            {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/istio-system/sa/istio-pilot"}},
                        ],
                    },
                },
            }},
        }]},
    })
}

/// "By ADS".
pub(super) fn ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3"})
}

pub(super) fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// One endpoint of a cluster.
pub(super) fn assignment(cluster: &str, endpoint: SocketAddr) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(&endpoint.ip().to_string(), endpoint.port())}});
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]})
}
