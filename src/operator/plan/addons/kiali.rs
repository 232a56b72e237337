//! Kiali: draws the graph of services from Prometheus' metrics and the mesh's configuration. It may look, and change nothing.

use serde_json::json;

use super::{Files, Port, Shape, asked_at, file, grafana, probe, prometheus};
use crate::operator::{
    plan::{config::MESH, object::Base, pilot},
    settings::{Program, Revision, Role},
};

const PORT: u16 = 20001;

pub(super) fn shape(base: Base<'_>, serving: &Revision) -> Shape {
    let health = "/kiali/healthz";
    Shape {
        container: json!({
            "name": "kiali",
            "command": ["/opt/kiali/kiali", "-config", "/kiali-configuration/config.yaml"],
            "readinessProbe": probe(health, PORT, 10),
            "livenessProbe": probe(health, PORT, 30),
        }),
        files: vec![Files { name: "kiali", folder: "/kiali-configuration", data: file("config.yaml", configuration(base, serving)) }],
        scratch: vec!["/tmp"],
        services: vec![("kiali", Port { name: "http", service: PORT, pod: PORT })],
        role: Some("ferromesh-kiali"),
    }
}

/// What Kiali is told. Zipkin is none of the tracing programs that it knows.
fn configuration(base: Base<'_>, serving: &Revision) -> String {
    let namespace = base.namespace();
    let at = |service: &str, port: i32| format!("http://{service}.{namespace}:{port}");
    let with_grafana = base.settings.addons.contains_key(&Program::Grafana);
    let configuration = json!({
        "auth": {"strategy": "anonymous"},
        "deployment": {"cluster_wide_access": true, "instance_name": "kiali", "namespace": namespace, "view_only_mode": true},
        "external_services": {
            "custom_dashboards": {"enabled": false},
            "grafana": {"enabled": with_grafana, "internal_url": at("grafana", asked_at(base, Program::Grafana, grafana::SERVED))},
            "istio": {
                "config_map_name": serving.object(MESH),
                "istiod_deployment_name": serving.part(Role::Pilot),
                "root_namespace": base.settings.mesh.root_namespace,
                "url_service_version": format!("{}/version", at(&serving.object(pilot::ALIAS), 15014)),
            },
            "prometheus": {"url": at("prometheus", asked_at(base, Program::Prometheus, prometheus::SERVED))},
            "tracing": {"enabled": false},
        },
        "istio_namespace": namespace,
        "kiali_feature_flags": {"clustering": {"autodetect_secrets": {"enabled": false}}},
        "server": {"port": PORT, "web_root": "/kiali"},
    });
    serde_saphyr::to_string(&configuration).unwrap_or_else(|_| configuration.to_string())
}
