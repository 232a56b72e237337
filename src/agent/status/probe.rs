//! The kubelet's probes as the injector hands them over.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// What the kubelet would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// How the application is asked.
    pub(super) handler: Handler,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// How an application is asked whether it is well.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Handler {
    /// By an HTTP request.
    Http(HttpGet),
    /// By a connection.
    Tcp(Port),
    /// By gRPC's own health protocol.
    Grpc(Grpc),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpGet {
    #[serde(default)]
    pub(super) path: String,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) host: String,
    #[serde(default)]
    pub(super) scheme: Scheme,
    #[serde(default)]
    pub(super) http_headers: Vec<Header>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Scheme {
    #[default]
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Header {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Port {
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Grpc {
    pub(super) port: u16,
    #[serde(default)]
    pub(super) service: Option<String>,
}

/// Probes that can't be understood. Only another version's injector writes such.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not a JSON object.
    #[error("not a JSON object of probes by their path")]
    Json(#[source] serde_json::Error),
    /// One of them.
    #[error("probe {path} can't be read")]
    Probe {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// One of them is of no kind that there is.
    #[error("probe {0} has neither httpGet nor tcpSocket nor grpc")]
    Handler(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    http_get: Option<HttpGet>,
    tcp_socket: Option<Port>,
    grpc: Option<Grpc>,
    timeout_seconds: Option<u64>,
}

/// Reads the JSON object that the injector writes: probes by the path under which the agent answers for them.
///
/// # Errors
/// On the first that can't be read.
pub fn parse_probes(json: &str) -> Result<BTreeMap<String, Probe>, ProbeError> {
    let raw: Map<String, Value> = serde_json::from_str(json).map_err(ProbeError::Json)?;
    raw.into_iter().map(|(path, value)| Ok((path.clone(), probe(path, value)?))).collect()
}

fn probe(path: String, value: Value) -> Result<Probe, ProbeError> {
    let raw: Raw = match serde_json::from_value(value) {
        Ok(raw) => raw,
        Err(source) => return Err(ProbeError::Probe { path, source }),
    };
    let http = raw.http_get.map(Handler::Http);
    let handler = http.or(raw.tcp_socket.map(Handler::Tcp)).or(raw.grpc.map(Handler::Grpc));
    // Kubernetes' default.
    let timeout = Duration::from_secs(raw.timeout_seconds.unwrap_or(1).max(1));
    Ok(Probe { handler: handler.ok_or(ProbeError::Handler(path))?, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_injectors_probes_are_understood() {
        let probes = parse_probes(
            r#"{"/app-health/web/readyz": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS",
                  "httpHeaders": [{"name": "X-Probe", "value": "1"}]}, "timeoutSeconds": 3, "portName": "http"},
                "/app-health/web/livez": {"tcpSocket": {"port": 8080}},
                "/app-health/web/startupz": {"grpc": {"port": 9000, "service": null}}}"#,
        )
        .unwrap();
        let Handler::Http(get) = &probes["/app-health/web/readyz"].handler else { panic!("{probes:?}") };
        assert_eq!((get.scheme, get.port, get.http_headers.len()), (Scheme::Https, 8080, 1));
        assert_eq!(probes["/app-health/web/readyz"].timeout, Duration::from_secs(3));
        assert_eq!(probes["/app-health/web/livez"], Probe { handler: Handler::Tcp(Port { port: 8080 }), timeout: Duration::from_secs(1) });
        assert!(matches!(probes["/app-health/web/startupz"].handler, Handler::Grpc(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = parse_probes(r#"{"/app-health/web/readyz": {"exec": {}}}"#).unwrap_err();
        assert_eq!(error.to_string(), "probe /app-health/web/readyz has neither httpGet nor tcpSocket nor grpc");
        assert!(parse_probes(r#"{"/a": {"tcpSocket": {"port": "http"}}}"#).unwrap_err().to_string().contains("/a"));
        assert!(parse_probes("[]").is_err());
    }
}
