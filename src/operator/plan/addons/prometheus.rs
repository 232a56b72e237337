//! Prometheus: collects the metrics of the control plane and of all proxies.

use serde_json::json;

use super::{Files, Port, Shape, file, probe};

const PORT: u16 = 9090;
/// Where it is asked.
pub(super) const SERVED: Port = Port { name: "http", service: PORT, pod: PORT };
/// As in Istio 1.4: enough for dashboards, too little to miss when the pod goes.
const RETENTION: &str = "6h";

/// Every pod says by annotations whether it is scraped, and where. A meshed pod's agent answers for its application, too, so a pod is
/// scraped once; what it says of its labels holds. Pods that have ended are left out.
const CONFIGURATION: &str = r#"global:
  scrape_interval: 15s
  scrape_timeout: 10s
scrape_configs:
- job_name: kubernetes-pods
  honor_labels: true
  kubernetes_sd_configs:
  - role: pod
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
    action: keep
    regex: "true"
  - source_labels: [__meta_kubernetes_pod_phase]
    action: drop
    regex: Pending|Succeeded|Failed
  # One target a pod, whatever its containers' ports.
  - source_labels: [__meta_kubernetes_pod_container_init]
    action: drop
    regex: "true"
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme]
    action: replace
    regex: (https?)
    target_label: __scheme__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
    action: replace
    regex: (.+)
    target_label: __metrics_path__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
    action: replace
    regex: (\d+);([0-9.]+)
    replacement: $2:$1
    target_label: __address__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
    action: replace
    regex: (\d+);([0-9a-fA-F:]*:[0-9a-fA-F:]*)
    replacement: "[$2]:$1"
    target_label: __address__
  - source_labels: [__meta_kubernetes_namespace]
    action: replace
    target_label: namespace
  - source_labels: [__meta_kubernetes_pod_name]
    action: replace
    target_label: pod
  - source_labels: [__meta_kubernetes_pod_label_app]
    action: replace
    target_label: app
"#;

pub(super) fn shape() -> Shape {
    Shape {
        container: json!({
            "name": "prometheus",
            "args": [
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/prometheus",
                format!("--storage.tsdb.retention.time={RETENTION}"),
            ],
            "readinessProbe": probe("/-/ready", PORT, 5),
            "livenessProbe": probe("/-/healthy", PORT, 10),
        }),
        files: vec![Files { name: "prometheus", folder: "/etc/prometheus", data: file("prometheus.yml", CONFIGURATION.to_owned()) }],
        scratch: vec!["/prometheus"],
        services: vec![("prometheus", SERVED)],
        role: Some("ferromesh-prometheus"),
    }
}
