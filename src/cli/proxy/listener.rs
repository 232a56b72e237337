//! Listeners in rows, one for each filter chain.

use serde_json::Value;

use super::{dump::Held, table::Table};

/// Which listeners to show.
#[derive(Clone, Debug, Default)]
pub(super) struct ListenerFilter {
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) kind: Option<String>,
}

// === impl ListenerFilter ===

impl ListenerFilter {
    /// Whether a listener is to be shown.
    pub(super) fn takes(&self, listener: &Value) -> bool {
        let (address, port) = place(listener);
        self.address.as_ref().is_none_or(|wanted| *wanted == address)
            && self.port.is_none_or(|wanted| wanted.to_string() == port)
            && self.kind.as_ref().is_none_or(|wanted| kind(listener).eq_ignore_ascii_case(wanted))
    }
}

/// The listeners as a table. Chains keep their order: it is that in which they are tried.
pub(super) fn table(listeners: &[Held]) -> Table {
    let mut table = Table::new(&["ADDRESSES", "PORT", "MATCH", "DESTINATION"]);
    let number = |held: &Held| place(&held.resource).1.parse::<u16>().unwrap_or(0);
    let mut sorted: Vec<&Held> = listeners.iter().collect();
    sorted.sort_by_key(|held| (number(held), place(&held.resource).0));
    for held in sorted {
        let (address, port) = place(&held.resource);
        for chain in chains(&held.resource) {
            table.row([address.clone(), port.clone(), condition(&chain["filter_chain_match"]), destination(chain)]);
        }
    }
    table
}

fn place(listener: &Value) -> (String, String) {
    let socket = &listener["address"]["socket_address"];
    let port = socket["port_value"].as_u64().map(|port| port.to_string()).unwrap_or_default();
    (socket["address"].as_str().unwrap_or_default().to_owned(), port)
}

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    let own = listener["filter_chains"].as_array().into_iter().flatten();
    own.chain(Some(&listener["default_filter_chain"]).filter(|chain| chain.is_object()))
}

/// `HTTP`, `TCP`, both, or `UNKNOWN`.
fn kind(listener: &Value) -> &'static str {
    let has = |name: &str| chains(listener).any(|chain| filter(chain, name).is_some());
    match (has("http_connection_manager"), has("tcp_proxy")) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}

fn filter<'c>(chain: &'c Value, name: &str) -> Option<&'c Value> {
    let mut filters = chain["filters"].as_array().into_iter().flatten();
    let found = filters.find(|it| it["name"].as_str().is_some_and(|own| own.ends_with(name)));
    found.map(|it| &it["typed_config"])
}

fn condition(condition: &Value) -> String {
    let list = |name: &str| -> Vec<String> {
        condition[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut told = Vec::new();
    let (names, protocols) = (list("server_names"), list("application_protocols"));
    if !names.is_empty() {
        told.push(format!("SNI: {}", names.join(",")));
    }
    if let Some(transport) = condition["transport_protocol"].as_str() {
        told.push(format!("Trans: {transport}"));
    }
    if !protocols.is_empty() {
        told.push(format!("App: {}", protocols.join(",")));
    }
    let port = condition["destination_port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
    let range = |it: &Value| format!("{}/{}", it["address_prefix"].as_str().unwrap_or_default(), it["prefix_len"].as_u64().unwrap_or(0));
    let ranges: Vec<String> = condition["prefix_ranges"].as_array().into_iter().flatten().map(range).collect();
    match (ranges.is_empty(), port.is_empty()) {
        (false, _) => told.push(format!("Addr: {}{port}", ranges.join(","))),
        (true, false) => told.push(format!("Addr: *{port}")),
        (true, true) => {}
    }
    if told.is_empty() { "ALL".to_owned() } else { told.join("; ") }
}

fn destination(chain: &Value) -> String {
    if let Some(manager) = filter(chain, "http_connection_manager") {
        if let Some(name) = manager["rds"]["route_config_name"].as_str() {
            return format!("Route: {name}");
        }
        let hosts = manager["route_config"]["virtual_hosts"].as_array().into_iter().flatten();
        let routes = hosts.flat_map(|host| host["routes"].as_array().into_iter().flatten());
        let shown: Vec<String> = routes.map(|route| super::route::condition(&route["match"])).collect();
        return format!("Inline Route: {}", shown.join(", "));
    }
    let Some(proxy) = filter(chain, "tcp_proxy") else { return "Non-HTTP/Non-TCP".to_owned() };
    let named = |name: &str| if name.ends_with("Cluster") { name.to_owned() } else { format!("Cluster: {name}") };
    if let Some(name) = proxy["cluster"].as_str() {
        return named(name);
    }
    let weighted = proxy["weighted_clusters"]["clusters"].as_array().into_iter().flatten();
    let shown = weighted.map(|it| format!("{} ({})", it["name"].as_str().unwrap_or_default(), it["weight"].as_u64().unwrap_or(0)));
    format!("Clusters: {}", shown.collect::<Vec<_>>().join(", "))
}
