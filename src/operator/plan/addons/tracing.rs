//! Tracing: Zipkin, to which proxies send their spans in its own format.

use serde_json::json;

use super::{Port, Shape, probe};

/// Where it takes spans, and shows traces.
const PORT: u16 = 9411;
/// How many spans it keeps.
const SPANS: &str = "100000";

pub(super) fn shape() -> Shape {
    Shape {
        container: json!({
            "name": "zipkin",
            "env": [
                {"name": "STORAGE_TYPE", "value": "mem"},
                {"name": "MEM_MAX_SPANS", "value": SPANS},
            ],
            "readinessProbe": probe("/health", PORT, 5),
            "livenessProbe": probe("/health", PORT, 10),
        }),
        files: Vec::new(),
        scratch: vec!["/tmp"],
        // As Istio 1.4 named them: one for people, one for proxies.
        services: vec![
            ("tracing", Port { name: "http-query", service: 80, pod: PORT }),
            ("zipkin", Port { name: "http", service: PORT, pod: PORT }),
        ],
        role: None,
    }
}
