//! Route tables in rows, one for each route.

use serde_json::Value;

use super::{cluster::origin, dump::Held, table::Table};

/// Domains that are shown; the others are counted.
const SHOWN_DOMAINS: usize = 2;

/// The route tables as a table of text.
pub(super) fn table(tables: &[Held]) -> Table {
    let mut table = Table::new(&["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE", "FIELD"]);
    let mut sorted: Vec<&Held> = tables.iter().collect();
    sorted.sort_by_key(|held| (held.name.parse::<u16>().unwrap_or(u16::MAX), &held.name));
    for held in sorted {
        for host in held.resource["virtual_hosts"].as_array().into_iter().flatten() {
            let name = host["name"].as_str().unwrap_or_default().to_owned();
            let routes = host["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
            let row = |matched, by, field| [held.name.clone(), name.clone(), domains(host), matched, by, field];
            if routes.is_empty() {
                table.row(row("/*".to_owned(), "404".to_owned(), String::new()));
            }
            for route in routes {
                let by = origin(route, "delegate").or_else(|| origin(route, "config")).unwrap_or_default();
                let field = route["metadata"]["filter_metadata"]["istio"]["field"].as_str().unwrap_or_default();
                table.row(row(condition(&route["match"]), by, field.to_owned()));
            }
        }
    }
    table
}

/// The domains without those that add a port to another.
fn domains(host: &Value) -> String {
    let all: Vec<&str> = host["domains"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let repeats = |domain: &str| {
        let bare = domain.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit() || b == b'*'));
        bare.is_some_and(|(bare, _)| all.contains(&bare))
    };
    let shown: Vec<&str> = all.iter().copied().filter(|domain| !repeats(domain)).collect();
    match shown.len().checked_sub(SHOWN_DOMAINS) {
        Some(more @ 1..) => format!("{} + {more} more...", shown[..SHOWN_DOMAINS].join(", ")),
        _ => shown.join(", "),
    }
}

/// What a route takes: `/path*`, and the headers and parameters that it asks for.
pub(super) fn condition(condition: &Value) -> String {
    let text = |name: &str| condition[name].as_str();
    let path = match (text("prefix"), text("path"), condition["safe_regex"]["regex"].as_str(), text("path_separated_prefix")) {
        (Some(prefix), ..) => format!("{prefix}*"),
        (_, Some(path), ..) => path.to_owned(),
        (_, _, Some(expression), _) => format!("regex {expression}"),
        (_, _, _, Some(prefix)) => format!("{prefix}[/*]"),
        _ => "/*".to_owned(),
    };
    let names = |list: &str| -> Vec<String> {
        let conditions = condition[list].as_array().into_iter().flatten();
        conditions
            .map(|it| format!("{}{}", if it["invert_match"] == true { "!" } else { "" }, it["name"].as_str().unwrap_or_default()))
            .collect()
    };
    let (headers, parameters) = (names("headers"), names("query_parameters"));
    let also = headers.into_iter().chain(parameters.into_iter().map(|name| format!("?{name}")));
    [path].into_iter().chain(also).collect::<Vec<_>>().join(" ")
}
