//! Grafana's dashboards as rows of data: what is asked of Prometheus, and how it is drawn.
//!
//! Titles and variables are those by which Istio's users, and Kiali's links, know them.

use serde_json::{Value, json};

/// The datasource's identifier, by which every panel names it.
pub(super) const DATASOURCE: &str = "mesh";

/// Panels in a row of 24 columns.
const WIDTH: usize = 12;
const HEIGHT: usize = 8;

struct Dashboard {
    /// The file's name, and the identifier in URLs.
    name: &'static str,
    title: &'static str,
    /// What can be chosen, and by which query the choices are known.
    variables: &'static [(&'static str, &'static str)],
    panels: &'static [Panel],
}

struct Panel {
    title: &'static str,
    /// In Grafana's words.
    unit: &'static str,
    /// Each query with the legend of its lines.
    queries: &'static [(&'static str, &'static str)],
}

/// The queries for shares of a histogram, each with its legend.
macro_rules! percentiles {
    ($histogram:literal, $($share:literal => $legend:literal),+) => {
        &[$((concat!("histogram_quantile(", $share, ", sum(rate(", $histogram, "[1m])) by (le))"), $legend)),+]
    };
}

const ALL: [Dashboard; 4] = [
    Dashboard {
        name: "istio-mesh-dashboard",
        title: "Istio Mesh Dashboard",
        variables: &[],
        panels: &[
            Panel {
                title: "Requests a second",
                unit: "reqps",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="source"}[1m])) by (destination_service)"#,
                    "{{destination_service}}",
                )],
            },
            Panel {
                title: "Success rate (no 5xx)",
                unit: "percentunit",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="source",response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{reporter="source"}[1m]))"#,
                    "all services",
                )],
            },
            Panel {
                title: "Errors by service",
                unit: "reqps",
                queries: &[
                    (
                        r#"sum(rate(istio_requests_total{reporter="source",response_code=~"4.*"}[1m])) by (destination_service)"#,
                        "4xx {{destination_service}}",
                    ),
                    (
                        r#"sum(rate(istio_requests_total{reporter="source",response_code=~"5.*"}[1m])) by (destination_service)"#,
                        "5xx {{destination_service}}",
                    ),
                ],
            },
            Panel {
                title: "Latency, 99 of 100 requests",
                unit: "ms",
                queries: &[(
                    r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter="source"}[1m])) by (le, destination_service))"#,
                    "{{destination_service}}",
                )],
            },
            Panel {
                title: "TCP, bytes a second",
                unit: "Bps",
                queries: &[
                    (
                        r#"sum(rate(istio_tcp_sent_bytes_total{reporter="source"}[1m])) by (destination_service)"#,
                        "sent {{destination_service}}",
                    ),
                    (
                        r#"sum(rate(istio_tcp_received_bytes_total{reporter="source"}[1m])) by (destination_service)"#,
                        "received {{destination_service}}",
                    ),
                ],
            },
            Panel {
                title: "Requests without mutual TLS",
                unit: "reqps",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="destination",connection_security_policy!="mutual_tls"}[1m])) by (destination_service)"#,
                    "{{destination_service}}",
                )],
            },
        ],
    },
    Dashboard {
        name: "istio-service-dashboard",
        title: "Istio Service Dashboard",
        variables: &[("service", "label_values(istio_requests_total, destination_service)")],
        panels: &[
            Panel {
                title: "Requests a second, by client",
                unit: "reqps",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="source",destination_service=~"$service"}[1m])) by (source_workload, source_workload_namespace, response_code)"#,
                    "{{source_workload}}.{{source_workload_namespace}} {{response_code}}",
                )],
            },
            Panel {
                title: "Success rate (no 5xx)",
                unit: "percentunit",
                queries: &[
                    (
                        r#"sum(rate(istio_requests_total{reporter="source",destination_service=~"$service",response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{reporter="source",destination_service=~"$service"}[1m]))"#,
                        "as clients see it",
                    ),
                    (
                        r#"sum(rate(istio_requests_total{reporter="destination",destination_service=~"$service",response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{reporter="destination",destination_service=~"$service"}[1m]))"#,
                        "as the service sees it",
                    ),
                ],
            },
            Panel {
                title: "Latency as clients see it",
                unit: "ms",
                queries: percentiles!(
                    r#"istio_request_duration_milliseconds_bucket{reporter="source",destination_service=~"$service"}"#,
                    0.5 => "p50", 0.95 => "p95", 0.99 => "p99"
                ),
            },
            Panel {
                title: "Size of requests and responses, 95 of 100",
                unit: "bytes",
                queries: &[
                    (
                        r#"histogram_quantile(0.95, sum(rate(istio_request_bytes_bucket{reporter="source",destination_service=~"$service"}[1m])) by (le))"#,
                        "requests",
                    ),
                    (
                        r#"histogram_quantile(0.95, sum(rate(istio_response_bytes_bucket{reporter="source",destination_service=~"$service"}[1m])) by (le))"#,
                        "responses",
                    ),
                ],
            },
            Panel {
                title: "TCP connections opened a second",
                unit: "cps",
                queries: &[(
                    r#"sum(rate(istio_tcp_connections_opened_total{reporter="source",destination_service=~"$service"}[1m])) by (source_workload)"#,
                    "{{source_workload}}",
                )],
            },
        ],
    },
    Dashboard {
        name: "istio-workload-dashboard",
        title: "Istio Workload Dashboard",
        variables: &[
            ("namespace", "label_values(istio_requests_total, destination_workload_namespace)"),
            ("workload", r#"label_values(istio_requests_total{destination_workload_namespace=~"$namespace"}, destination_workload)"#),
        ],
        panels: &[
            Panel {
                title: "Requests a second to it, by client",
                unit: "reqps",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="destination",destination_workload=~"$workload",destination_workload_namespace=~"$namespace"}[1m])) by (source_workload, response_code)"#,
                    "{{source_workload}} {{response_code}}",
                )],
            },
            Panel {
                title: "Requests a second from it, by service",
                unit: "reqps",
                queries: &[(
                    r#"sum(rate(istio_requests_total{reporter="source",source_workload=~"$workload",source_workload_namespace=~"$namespace"}[1m])) by (destination_service, response_code)"#,
                    "{{destination_service}} {{response_code}}",
                )],
            },
            Panel {
                title: "Latency of its answers",
                unit: "ms",
                queries: percentiles!(
                    r#"istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload=~"$workload",destination_workload_namespace=~"$namespace"}"#,
                    0.5 => "p50", 0.99 => "p99"
                ),
            },
            Panel {
                title: "TCP, bytes a second",
                unit: "Bps",
                queries: &[
                    (
                        r#"sum(rate(istio_tcp_received_bytes_total{reporter="destination",destination_workload=~"$workload",destination_workload_namespace=~"$namespace"}[1m]))"#,
                        "received",
                    ),
                    (
                        r#"sum(rate(istio_tcp_sent_bytes_total{reporter="destination",destination_workload=~"$workload",destination_workload_namespace=~"$namespace"}[1m]))"#,
                        "sent",
                    ),
                ],
            },
        ],
    },
    Dashboard {
        name: "istio-control-plane-dashboard",
        title: "Istio Control Plane Dashboard",
        variables: &[],
        panels: &[
            Panel { title: "Connected proxies", unit: "short", queries: &[("sum(pilot_xds) by (pod)", "{{pod}}")] },
            Panel { title: "Responses a second", unit: "short", queries: &[("sum(rate(pilot_xds_pushes[1m])) by (type)", "{{type}}")] },
            Panel {
                title: "A change's arrival → its last acknowledgement",
                unit: "s",
                queries: percentiles!("pilot_proxy_convergence_time_bucket", 0.5 => "p50", 0.99 => "p99"),
            },
            Panel {
                title: "What proxies refused",
                unit: "short",
                queries: &[
                    ("sum(rate(pilot_xds_rejects[1m])) by (type)", "responses a second, {{type}}"),
                    ("max(pilot_objects_at_fault)", "objects at fault"),
                ],
            },
            Panel {
                title: "Services and VirtualServices",
                unit: "short",
                queries: &[("max(pilot_services)", "Services"), ("max(pilot_virt_services)", "VirtualServices")],
            },
            Panel {
                title: "Changes of the mesh a second",
                unit: "short",
                queries: &[("sum(rate(pilot_push_triggers[1m])) by (type)", "{{type}}")],
            },
            Panel {
                title: "Validations a second",
                unit: "short",
                queries: &[
                    ("sum(rate(galley_validation_passed_total[1m]))", "accepted"),
                    ("sum(rate(galley_validation_failed_total[1m]))", "refused"),
                ],
            },
            Panel {
                title: "Injections a second",
                unit: "short",
                queries: &[
                    ("sum(rate(sidecar_injection_success_total[1m]))", "injected"),
                    ("sum(rate(sidecar_injection_skip_total[1m]))", "left as they are"),
                    ("sum(rate(sidecar_injection_failure_total[1m]))", "refused"),
                ],
            },
            Panel {
                title: "Resident memory",
                unit: "bytes",
                queries: &[(r#"process_resident_memory_bytes{app=~"istiod|citadel|galley|sidecar-injector"}"#, "{{pod}}")],
            },
            Panel {
                title: "CPU",
                unit: "short",
                queries: &[(r#"rate(process_cpu_seconds_total{app=~"istiod|citadel|galley|sidecar-injector"}[1m])"#, "{{pod}}")],
            },
        ],
    },
];

/// All dashboards, by name, as Grafana reads them.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    ALL.iter().map(|dashboard| (dashboard.name, dashboard.json())).collect()
}

/// Every query of every panel, its variables replaced by something that they might be.
#[cfg(test)]
pub(super) fn queries() -> Vec<String> {
    let panels = ALL.iter().flat_map(|dashboard| dashboard.panels);
    panels.flat_map(|panel| panel.queries).map(|(query, _)| query.replace('$', "")).collect()
}

// === impl Dashboard ===

impl Dashboard {
    fn json(&self) -> Value {
        let panels = self.panels.iter().enumerate().map(|(index, panel)| panel.json(index)).collect::<Vec<_>>();
        let variables = self.variables.iter().map(|(name, query)| variable(name, query)).collect::<Vec<_>>();
        json!({
            "uid": self.name,
            "title": self.title,
            "tags": ["istio"],
            "schemaVersion": 39,
            "editable": false,
            "refresh": "15s",
            "time": {"from": "now-30m", "to": "now"},
            "templating": {"list": variables},
            "panels": panels,
        })
    }
}

fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name, "label": name, "type": "query", "datasource": datasource(), "refresh": 2, "sort": 1, "multi": false,
        "query": {"query": query, "refId": name},
    })
}

// === impl Panel ===

impl Panel {
    fn json(&self, index: usize) -> Value {
        let target = |(index, (query, legend)): (usize, &(&str, &str))| json!({"refId": format!("Q{index}"), "datasource": datasource(), "expr": query, "legendFormat": legend});
        json!({
            "id": index + 1,
            "title": self.title,
            "type": "timeseries",
            "datasource": datasource(),
            "gridPos": {"x": index % 2 * WIDTH, "y": index / 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": self.unit, "min": 0}, "overrides": []},
            "targets": self.queries.iter().enumerate().map(target).collect::<Vec<_>>(),
        })
    }
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": DATASOURCE})
}
