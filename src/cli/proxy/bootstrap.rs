//! The bootstrap in a few rows: who the proxy says it is, and whom it asks.

use serde_json::Value;

use super::table::Table;
use crate::model::AGENT_VERSION;

/// What people ask of a bootstrap.
pub(super) fn table(bootstrap: &Value) -> Table {
    let node = &bootstrap["node"];
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let metadata = |name: &str| text(&node["metadata"][name]);
    let clusters = bootstrap["static_resources"]["clusters"].as_array().into_iter().flatten();
    let xds = clusters.into_iter().find(|it| it["name"] == "xds-grpc");
    let pilot = xds.map(|it| &it["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]);
    let pilot = pilot.and_then(|it| Some(format!("{}:{}", it["address"].as_str()?, it["port_value"].as_u64()?))).unwrap_or_default();
    let mut table = Table::new(&["FIELD", "VALUE"]);
    let rows = [
        ("node", text(&node["id"])),
        ("cluster", text(&node["cluster"])),
        ("service account", metadata("SERVICE_ACCOUNT")),
        ("workload", metadata("WORKLOAD_NAME")),
        ("version", Some(metadata(AGENT_VERSION)).filter(|own| !own.is_empty()).unwrap_or_else(|| metadata("ISTIO_VERSION"))),
        ("pilot", pilot),
    ];
    rows.into_iter().for_each(|(name, value)| table.row([name.to_owned(), value]));
    table
}
