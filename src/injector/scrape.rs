//! Sends Prometheus to the agent, which merges the application's metrics with Envoy's and its own.

use serde_json::{Map, Value};

use super::{InjectError, pod::object_mut};

/// The agent's environment variable with the application's own scrape annotations.
pub(super) const METRICS_ENV: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
/// The path at which the agent serves metrics.
pub(super) const PATH: &str = "/stats/prometheus";
/// The annotations by which Prometheus finds what to scrape, as we write them; see [`scrape_key`] for how others do.
pub(super) const SCRAPE: [(&str, &str); 3] =
    [("scrape", "prometheus.io/scrape"), ("path", "prometheus.io/path"), ("port", "prometheus.io/port")];
/// Ports of the sidecar: no application may ask to be scraped there.
const RESERVED_PORTS: [u16; 7] = [15000, 15001, 15006, 15020, 15021, 15053, 15090];

/// Points the annotations at the agent. Returns what they said before, if anything. A pod that says `scrape: false` is left alone.
///
/// # Errors
/// If they name one of the sidecar's own ports.
pub(super) fn merge_metrics(pod: &mut Value, status_port: u16) -> Result<Option<Value>, InjectError> {
    let annotations = object_mut(&mut pod["metadata"], "annotations");
    let before: Map<String, Value> =
        annotations.iter().filter_map(|(annotation, value)| Some((scrape_key(annotation)?.to_owned(), value.clone()))).collect();
    if before.get("scrape").is_some_and(|scrape| scrape == "false") {
        return Ok(None);
    }
    let own = |port: u16| port == status_port || RESERVED_PORTS.contains(&port);
    if let Some(port) = before.get("port").and_then(Value::as_str).filter(|port| port.trim().parse().is_ok_and(own)) {
        return Err(InjectError::ReservedPort(port.to_owned()));
    }
    annotations.retain(|annotation, _| scrape_key(annotation).is_none());
    for ((_, annotation), value) in SCRAPE.iter().zip(["true", PATH, &status_port.to_string()]) {
        annotations.insert((*annotation).to_owned(), value.into());
    }
    Ok((!before.is_empty()).then_some(Value::Object(before)))
}

/// `scrape`, `path` or `port` for an annotation that Prometheus' rules take for one of these: they see all punctuation as one.
fn scrape_key(annotation: &str) -> Option<&'static str> {
    let same = |ours: &str| {
        let plain = |byte: u8| if b"./_".contains(&byte) { b'-' } else { byte };
        ours.len() == annotation.len() && ours.bytes().map(plain).eq(annotation.bytes().map(plain))
    };
    SCRAPE.iter().find(|(_, ours)| same(ours)).map(|(short, _)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(annotations: Value) -> (Result<Option<Value>, String>, Value) {
        let mut pod = json!({"metadata": {"annotations": annotations}});
        let before = merge_metrics(&mut pod, 15020).map_err(|error| error.to_string());
        (before, pod["metadata"]["annotations"].take())
    }

    #[test]
    fn all_punctuation_is_one() {
        let ours = json!({"prometheus.io/scrape": "true", "prometheus.io/path": PATH, "prometheus.io/port": "15020"});
        for spelled in ["prometheus.io/port", "prometheus_io_port", "prometheus-io-port", "prometheus.io.port"] {
            assert_eq!(merged(json!({spelled: "80"})), (Ok(Some(json!({"port": "80"}))), ours.clone()), "{spelled}");
        }
        assert_eq!(merged(json!({})), (Ok(None), ours));
        assert_eq!(merged(json!({"prometheus.io/ports": "80"})).0, Ok(None));
    }

    #[test]
    fn scraping_the_sidecar_is_refused() {
        for port in ["15090", "15053", "15020", " 15000"] {
            let error = merged(json!({"prometheus.io/port": port})).0.unwrap_err();
            assert!(error.contains("one of the sidecar's own ports"), "{error}");
        }
    }
}
