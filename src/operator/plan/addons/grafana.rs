//! Grafana: draws Prometheus' metrics. Its datasource and dashboards are there from the start; whoever reaches it may look.

use serde_json::{Map, Value, json};

use super::{Files, Port, Shape, asked_at, dashboard, file, probe, prometheus};
use crate::operator::{plan::object::Base, settings::Program};

const PORT: u16 = 3000;
/// Where it is asked.
pub(super) const SERVED: Port = Port { name: "http", service: PORT, pod: PORT };
/// Where the dashboards are mounted.
const DASHBOARDS: &str = "/etc/grafana/mesh";

pub(super) fn shape(base: Base<'_>) -> Shape {
    let variable = |(name, value): (&str, &str)| json!({"name": format!("GF_{name}"), "value": value});
    let settings = [
        ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("ANALYTICS_REPORTING_ENABLED", "false"),
        ("AUTH_ANONYMOUS_ENABLED", "true"),
        ("AUTH_ANONYMOUS_ORG_ROLE", "Viewer"),
        ("AUTH_BASIC_ENABLED", "false"),
        ("AUTH_DISABLE_LOGIN_FORM", "true"),
        ("LOG_MODE", "console"),
        ("PATHS_LOGS", "/tmp"),
    ];
    Shape {
        container: json!({
            "name": "grafana",
            "env": settings.map(variable),
            "readinessProbe": probe("/api/health", PORT, 5),
            "livenessProbe": probe("/api/health", PORT, 10),
        }),
        files: vec![
            Files {
                name: "grafana-datasources",
                folder: "/etc/grafana/provisioning/datasources",
                data: file("mesh.yaml", yaml(&datasources(base))),
            },
            Files {
                name: "grafana-providers",
                folder: "/etc/grafana/provisioning/dashboards",
                data: file("mesh.yaml", yaml(&providers())),
            },
            Files { name: "istio-grafana-dashboards", folder: DASHBOARDS, data: dashboards() },
        ],
        scratch: vec!["/var/lib/grafana", "/tmp"],
        services: vec![("grafana", SERVED)],
        role: None,
    }
}

fn datasources(base: Base<'_>) -> Value {
    let prometheus = asked_at(base, Program::Prometheus, prometheus::SERVED);
    json!({
        "apiVersion": 1,
        "datasources": [{
            "name": "Prometheus", "uid": dashboard::DATASOURCE, "type": "prometheus", "access": "proxy",
            "url": format!("http://prometheus:{prometheus}"), "isDefault": true, "editable": false, "jsonData": {"timeInterval": "15s"},
        }],
    })
}

fn providers() -> Value {
    json!({
        "apiVersion": 1,
        "providers": [{"name": "mesh", "folder": "istio", "type": "file", "disableDeletion": true, "options": {"path": DASHBOARDS}}],
    })
}

/// Each dashboard as a file of its own.
fn dashboards() -> Map<String, Value> {
    let text = |(name, dashboard): (&str, Value)| (format!("{name}.json"), Value::String(dashboard.to_string()));
    dashboard::all().into_iter().map(text).collect()
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}
