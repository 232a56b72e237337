//! Kiali: draws the graph of services from Prometheus' metrics and the mesh's configuration. It may look, and change nothing.

use serde_json::json;

use super::{Files, Port, Shape, file, probe};
use crate::operator::{
    plan::{config::MESH, object::Base},
    settings::{Program, Role},
};

const PORT: u16 = 20001;

pub(super) fn shape(base: Base<'_>) -> Shape {
    let health = "/kiali/healthz";
    Shape {
        container: json!({
            "name": "kiali",
            "command": ["/opt/kiali/kiali", "-config", "/kiali-configuration/config.yaml"],
            "readinessProbe": probe(health, PORT, 10),
            "livenessProbe": probe(health, PORT, 30),
        }),
        files: vec![Files { name: "kiali", folder: "/kiali-configuration", data: file("config.yaml", configuration(base)) }],
        scratch: vec!["/tmp"],
        services: vec![("kiali", Port { name: "http", service: PORT, pod: PORT })],
        role: Some("ferromesh-kiali"),
    }
}

/// What Kiali is told. Zipkin is none of the tracing programs that it knows.
fn configuration(base: Base<'_>) -> String {
    let namespace = base.namespace();
    let grafana = base.settings.addons.contains_key(&Program::Grafana);
    let configuration = json!({
        "auth": {"strategy": "anonymous"},
        "deployment": {"cluster_wide_access": true, "instance_name": "kiali", "namespace": namespace, "view_only_mode": true},
        "external_services": {
            "custom_dashboards": {"enabled": false},
            "grafana": {"enabled": grafana, "internal_url": format!("http://grafana.{namespace}:3000")},
            "istio": {
                "config_map_name": MESH,
                "istiod_deployment_name": Role::Pilot.object(),
                "root_namespace": base.settings.mesh.root_namespace,
                "url_service_version": format!("http://istiod.{namespace}:15014/version"),
            },
            "prometheus": {"url": format!("http://prometheus.{namespace}:9090")},
            "tracing": {"enabled": false},
        },
        "istio_namespace": namespace,
        "kiali_feature_flags": {"clustering": {"autodetect_secrets": {"enabled": false}}},
        "server": {"port": PORT, "web_root": "/kiali"},
    });
    serde_saphyr::to_string(&configuration).unwrap_or_else(|_| configuration.to_string())
}
