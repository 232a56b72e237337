//! Endpoints in rows: as Envoy sees them at present, or as it was told.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{cluster::ClusterFilter, dump::Dump, table::Table};

/// How an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Health {
    /// May be used
    Healthy,
    /// May not
    Unhealthy,
}

/// Which endpoints to show.
#[derive(Clone, Debug, Default)]
pub(super) struct EndpointFilter {
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) cluster: Option<String>,
    pub(super) status: Option<Health>,
}

/// An endpoint of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    cluster: String,
    address: String,
    port: u64,
    status: String,
    /// Whether Envoy has thrown it out for its failures; `None` where that was not asked.
    ejected: Option<bool>,
}

/// The endpoints that a dump holds.
pub(super) fn endpoints(dump: &Dump) -> Vec<Endpoint> {
    let statuses = dump.statuses();
    let mut found: Vec<Endpoint> = if statuses.is_empty() {
        let of = |held: &super::dump::Held| told(&held.name, &held.resource);
        dump.endpoints().iter().flat_map(of).collect()
    } else {
        statuses.iter().flat_map(seen).collect()
    };
    found.sort_by(|a, b| (&a.cluster, &a.address, a.port).cmp(&(&b.cluster, &b.address, b.port)));
    found
}

fn place(address: &Value) -> Option<(String, u64)> {
    if let Some(path) = address["pipe"]["path"].as_str() {
        return Some((format!("unix://{path}"), 0));
    }
    let socket = &address["socket_address"];
    Some((socket["address"].as_str()?.to_owned(), socket["port_value"].as_u64().unwrap_or(0)))
}

fn seen(status: &Value) -> Vec<Endpoint> {
    let cluster = status["name"].as_str().unwrap_or_default();
    let hosts = status["host_statuses"].as_array().into_iter().flatten();
    let endpoint = |host: &Value| {
        let (address, port) = place(&host["address"])?;
        let health = &host["health_status"];
        let told = health["eds_health_status"].as_str().unwrap_or("HEALTHY").to_owned();
        Some(Endpoint { cluster: cluster.to_owned(), address, port, status: told, ejected: Some(health["failed_outlier_check"] == true) })
    };
    hosts.filter_map(endpoint).collect()
}

fn told(cluster: &str, assignment: &Value) -> Vec<Endpoint> {
    let groups = assignment["endpoints"].as_array().into_iter().flatten();
    let hosts = groups.flat_map(|group| group["lb_endpoints"].as_array().into_iter().flatten());
    let endpoint = |host: &Value| {
        let (address, port) = place(&host["endpoint"]["address"])?;
        let status = match host["health_status"].as_str() {
            None | Some("UNKNOWN") => "HEALTHY",
            Some(status) => status,
        };
        Some(Endpoint { cluster: cluster.to_owned(), address, port, status: status.to_owned(), ejected: None })
    };
    hosts.filter_map(endpoint).collect()
}

// === impl EndpointFilter ===

impl EndpointFilter {
    /// Whether an endpoint is to be shown.
    pub(super) fn takes(&self, endpoint: &Endpoint) -> bool {
        let healthy = endpoint.status == "HEALTHY" && endpoint.ejected != Some(true);
        self.address.as_ref().is_none_or(|wanted| *wanted == endpoint.address)
            && self.port.is_none_or(|wanted| u64::from(wanted) == endpoint.port)
            && self.cluster.as_ref().is_none_or(|wanted| {
                *wanted == endpoint.cluster
                    || ClusterFilter { host: Some(wanted.clone()), ..ClusterFilter::default() }.takes(&endpoint.cluster)
            })
            && self.status.is_none_or(|wanted| (wanted == Health::Healthy) == healthy)
    }
}

/// The endpoints as a table.
pub(super) fn table(endpoints: &[Endpoint]) -> Table {
    let mut table = Table::new(&["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    for it in endpoints {
        let place = if it.port == 0 { it.address.clone() } else { format!("{}:{}", it.address, it.port) };
        let outlier = it.ejected.map(|ejected| if ejected { "FAILED" } else { "OK" }).unwrap_or_default();
        table.row([place, it.status.clone(), outlier.to_owned(), it.cluster.clone()]);
    }
    table
}

/// The endpoints for programs.
pub(super) fn value(endpoints: &[Endpoint]) -> Value {
    let value = |it: &Endpoint| json!({"cluster": it.cluster, "address": it.address, "port": it.port, "status": it.status, "outlierCheckFailed": it.ejected});
    Value::Array(endpoints.iter().map(value).collect())
}
