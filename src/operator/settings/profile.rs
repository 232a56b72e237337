//! The profiles: each a MeshInstall's spec in JSON, which the user's own is laid over.

use ferromesh_crds::install::Profile;
use serde_json::{Value, json};

use super::layers::overlay;

/// The spec that a profile stands for: what a user could write in place of its name, and have the same mesh.
///
/// As in Istio 1.4, `minimal` is pilot alone; but pilot serves only with a certificate of the mesh, so citadel is part of it.
pub fn profile(profile: Profile) -> Value {
    let own = match profile {
        Profile::Default => json!({}),
        Profile::Demo => demo(),
        Profile::Minimal => minimal(),
        Profile::Sds => sds(),
        Profile::Remote => remote(),
    };
    overlay(&overlay(&default(), &own), &json!({"profile": profile.name()}))
}

fn default() -> Value {
    let small = json!({"requests": {"cpu": "10m", "memory": "32Mi"}});
    json!({
        "components": {
            "pilot": {"enabled": true, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
            "citadel": {"enabled": true, "resources": small},
            "galley": {"enabled": true, "resources": small},
            "injector": {"enabled": true, "resources": small},
        },
        "gateways": {
            "ingress": [{
                "name": "istio-ingressgateway",
                "enabled": true,
                "service": {"type": "LoadBalancer", "ports": [
                    {"name": "status-port", "port": 15021},
                    {"name": "http2", "port": 80},
                    {"name": "https", "port": 443},
                ]},
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
            "egress": [{
                "name": "istio-egressgateway",
                "enabled": false,
                "service": {"type": "ClusterIP", "ports": [{"name": "http2", "port": 80}, {"name": "https", "port": 443}]},
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
        },
        "addons": {"prometheus": {"enabled": true}},
        "values": {"global": {"proxy": {"resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2000m", "memory": "1024Mi"},
        }}}},
    })
}

/// Everything, small. Tracing comes once proxies send spans.
fn demo() -> Value {
    let small = json!({"requests": {"cpu": "10m", "memory": "40Mi"}});
    json!({
        "components": {"pilot": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}},
        "gateways": {
            "ingress": [{
                "name": "istio-ingressgateway",
                "service": {"ports": [
                    {"name": "status-port", "port": 15021},
                    {"name": "http2", "port": 80},
                    {"name": "https", "port": 443},
                    {"name": "tcp", "port": 31400},
                    {"name": "tls", "port": 15443},
                ]},
                "resources": small,
            }],
            "egress": [{"name": "istio-egressgateway", "enabled": true, "resources": small}],
        },
        "addons": {"grafana": {"enabled": true}, "kiali": {"enabled": true}},
        "meshConfig": {"accessLogFile": "/dev/stdout"},
        "values": {"global": {"proxy": {"resources": small}}},
    })
}

fn minimal() -> Value {
    json!({
        "components": {"galley": {"enabled": false}, "injector": {"enabled": false}},
        "gateways": {"ingress": [{"name": "istio-ingressgateway", "enabled": false}]},
        "addons": {"prometheus": {"enabled": false}},
    })
}

/// Every proxy gets its certificate over a socket in any case; what is left of 1.4's profile is that mutual TLS is required.
fn sds() -> Value {
    json!({"values": {"global": {"mtls": {"enabled": true}}}})
}

/// A cluster whose pilot runs elsewhere: an authority for certificates, and a gateway.
fn remote() -> Value {
    json!({
        "components": {"pilot": {"enabled": false}, "galley": {"enabled": false}, "injector": {"enabled": false}},
        "addons": {"prometheus": {"enabled": false}},
    })
}
