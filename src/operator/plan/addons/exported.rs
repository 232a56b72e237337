//! Which metrics there are: what a dashboard asks for and nobody exports would stay empty for ever.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::dashboard;

/// What every process says of itself.
const OF_PROCESSES: [&str; 4] = ["process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes", "process_threads"];
/// What proxies count, by the names that Istio gave it. They don't yet, as docs/add-ons.md says.
const OF_PROXIES: [&str; 7] = [
    "istio_requests_total",
    "istio_request_duration_milliseconds_bucket",
    "istio_request_bytes_bucket",
    "istio_response_bytes_bucket",
    "istio_tcp_connections_opened_total",
    "istio_tcp_sent_bytes_total",
    "istio_tcp_received_bytes_total",
];

/// The names under which the source of a component exports metrics: it registers `name` of a field of `metrics` below a prefix, and the
/// field's type says what is put behind the name.
fn exported(source: &str) -> BTreeSet<String> {
    let (mut names, mut prefix) = (BTreeSet::new(), "");
    for line in source.lines() {
        if let Some((_, rest)) = line.split_once("sub_registry_with_prefix(\"") {
            prefix = rest.split('"').next().unwrap_or_default();
        }
        let Some((_, registered)) = line.split_once("registry.register(\"") else { continue };
        let name = registered.split('"').next().unwrap_or_default();
        let Some(field) = registered.rsplit_once("metrics.").and_then(|(_, field)| field.split('.').next()) else { continue };
        let declared = |line: &&str| line.trim_start().trim_start_matches("pub(super) ").starts_with(&format!("{field}: "));
        for type_ in source.lines().filter(declared) {
            let endings: &[&str] = match () {
                () if type_.contains("PlainCounter") || type_.contains("Gauge") => &[""],
                () if type_.contains("Counter") => &["_total"],
                () if type_.contains("Histogram") => &["_bucket", "_count", "_sum"],
                () => &[],
            };
            names.extend(endings.iter().map(|ending| format!("{prefix}_{name}{ending}")));
        }
    }
    names
}

/// Files called `metrics.rs` below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).filter(|path| path.ends_with("metrics.rs")).collect()
}

/// The metrics that a query asks for: names that are neither functions nor labels.
fn asked(query: &str) -> BTreeSet<String> {
    let (mut names, mut name, mut depth) = (BTreeSet::new(), String::new(), 0_usize);
    // Labels, too, stand in brackets.
    let query = query.replace(" by (", " {");
    for letter in query.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            name.push(letter);
            continue;
        }
        if depth == 0 && letter != '(' && name.contains('_') {
            names.insert(name.clone());
        }
        name.clear();
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ')' if depth > 0 => depth -= 1,
            _ => {}
        }
    }
    names
}

#[test]
fn every_metric_that_a_dashboard_asks_for_is_one_that_somebody_exports() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 5, "{files:?}");
    let known = [&OF_PROCESSES[..], &OF_PROXIES].concat();
    let mut known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
    files.iter().for_each(|file| known.extend(exported(&fs::read_to_string(file).unwrap())));
    let chosen_by = |dashboard: &serde_json::Value| {
        let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
        variables.into_iter().map(|one| one["query"]["query"].as_str().unwrap().rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let choices = dashboard::all().into_iter().flat_map(|(_, dashboard)| chosen_by(&dashboard)).collect::<Vec<_>>();
    let asked: BTreeSet<String> = dashboard::queries().iter().chain(&choices).flat_map(|query| asked(query)).collect();
    assert!(asked.len() > 15, "{asked:?}");
    assert_eq!(asked.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_query_is_read_and_so_is_a_source() {
    let query =
        r#"histogram_quantile(0.9, sum(rate(a_b_bucket{c_d="e_f",g=~"h_i"}[1m])) by (le, j_k)) / sum(rate(l_m[1m])) by (n_o) + p_q"#;
    assert_eq!(asked(query).into_iter().collect::<Vec<_>>(), ["a_b_bucket", "l_m", "p_q"]);
    let source = "    pub(super) hits: Family<Label, Counter>,\n    size: Gauge,\n    time: Histogram,\n    let registry = \
                  registry.sub_registry_with_prefix(\"x\");\n        registry.register(\"hits\", \"Help\", metrics.hits.clone());\n        \
                  registry.register(\"bytes\", \"Help\", metrics.size.clone());\n        registry.register(\"s\", \"Help\", metrics.time.clone());";
    assert_eq!(exported(source).into_iter().collect::<Vec<_>>(), ["x_bytes", "x_hits_total", "x_s_bucket", "x_s_count", "x_s_sum"]);
}
