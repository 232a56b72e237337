//! Clusters in rows.

use serde_json::Value;

use super::{dump::Held, table::Table};

/// The parts of a name like `outbound|9080|v1|reviews.shop.svc.cluster.local`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterName {
    pub(super) direction: String,
    pub(super) port: String,
    pub(super) subset: String,
    pub(super) host: String,
}

/// Which clusters to show.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterFilter {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) subset: Option<String>,
    pub(super) direction: Option<String>,
}

// === impl ClusterName ===

impl ClusterName {
    /// A name's parts; one of another form is a host alone.
    pub(super) fn of(name: &str) -> Self {
        let parts: Vec<&str> = name.split('|').collect();
        match parts[..] {
            [direction, port, subset, host] => {
                let [direction, port, subset, host] = [direction, port, subset, host].map(str::to_owned);
                Self { direction, port, subset, host }
            }
            _ => Self { host: name.to_owned(), ..Self::default() },
        }
    }
}

// === impl ClusterFilter ===

impl ClusterFilter {
    /// Whether a cluster of that name is to be shown.
    pub(super) fn takes(&self, name: &str) -> bool {
        let name = ClusterName::of(name);
        let same = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(own));
        self.host.as_ref().is_none_or(|host| name.host.contains(&host.to_ascii_lowercase()))
            && self.port.is_none_or(|port| name.port == port.to_string())
            && same(&self.subset, &name.subset)
            && same(&self.direction, &name.direction)
    }
}

/// The clusters as a table.
pub(super) fn table(clusters: &[Held]) -> Table {
    let mut table = Table::new(&["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]);
    for held in clusters {
        let name = ClusterName::of(&held.name);
        let rule = origin(&held.resource, "config").unwrap_or_default();
        table.row([name.host, name.port, name.subset, name.direction, discovery(&held.resource).to_owned(), rule]);
    }
    table.sorted()
}

/// How a cluster finds its endpoints, in the words that people know.
fn discovery(cluster: &Value) -> &str {
    if let Some(kind) = cluster["type"].as_str() {
        return kind;
    }
    match cluster["cluster_type"]["name"].as_str() {
        Some("envoy.cluster.dns" | "envoy.clusters.dns") => {
            let one = cluster["cluster_type"]["typed_config"]["all_addresses_in_single_endpoint"] == true;
            if one { "LOGICAL_DNS" } else { "STRICT_DNS" }
        }
        Some(other) => other,
        None => "STATIC",
    }
}

/// An object in the metadata that the mesh gives to what it makes, as `NAME.NAMESPACE`.
pub(super) fn origin(resource: &Value, field: &str) -> Option<String> {
    let path = resource["metadata"]["filter_metadata"]["istio"][field].as_str()?;
    let mut parts = path.rsplit('/');
    let (name, _, namespace) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{name}.{namespace}"))
}
