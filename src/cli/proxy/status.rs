//! `ferromesh proxy-status`: how far each proxy got, and with a pod, whether it has what pilot means it to have.

use clap::Args;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    dump::{Dump, Held},
    pilot::{Connected, KINDS, Pilots},
    pod::{Named, PodName, Pods},
    table::Table,
};
use crate::cli::{
    cluster::{AskedArgs, ask, namespace},
    exit::{Exit, Failure},
    report::{self, Form},
    terminal::{Paint, Streams, Style},
};

/// Stands for the version of a table whose hosts are sent by themselves: Envoy shows that of the hosts that came last.
const OF_HOSTS: &str = "of its hosts";

/// Envoy's admin port in a pod.
pub(in crate::cli) const ADMIN: u16 = 15000;
/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);
/// The columns after the name, in the order of [`KINDS`] as people know them: clusters, listeners, endpoints, routes.
const COLUMNS: [&str; 4] = ["CDS", "LDS", "EDS", "RDS"];

/// Show how far each proxy got with what pilot sent, or compare what a proxy has with what it should have
#[derive(Args, Debug)]
#[command(
    visible_alias = "ps",
    after_help = "\
Exit codes: 0 shown, 79 a proxy lacks what it should have, 69 no cluster, 77 forbidden.

Examples:
  ferromesh proxy-status
  ferromesh proxy-status -n shop -o json
  ferromesh proxy-status web-5f77c-lq9vd.shop"
)]
pub(in crate::cli) struct ProxyStatusArgs {
    /// The pod to compare: POD, POD.NAMESPACE or deploy/NAME
    #[arg(value_name = "POD")]
    pod: Option<Named>,
    /// The namespace of the proxies to show, and of a pod that names none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    asked: AskedArgs,
}

// === impl ProxyStatusArgs ===

impl ProxyStatusArgs {
    /// Shows it.
    ///
    /// # Errors
    /// When pilot or the proxy can't be asked.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        match &self.pod {
            Some(named) => self.compare(named, streams),
            None => self.list(streams, style),
        }
    }

    fn list(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let mut proxies = ask(LONGEST, async {
            let pods = Pods::new(self.asked.cluster.connect().await?.client);
            Pilots::find(&pods, &self.asked.mesh.namespace).await?.connected().await
        })?;
        if let Some(namespace) = &self.namespace {
            proxies.retain(|it| it.proxy.ends_with(&format!(".{namespace}")));
        }
        let told = match self.asked.output {
            Form::Human => table(&proxies, style),
            form => report::document(&value(&proxies), form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        notes(&proxies).iter().for_each(|note| streams.note(note));
        Ok(Exit::Clean)
    }

    fn compare(&self, named: &Named, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let (pod, held, meant) = ask(LONGEST, async {
            let cluster = self.asked.cluster.connect().await?;
            let pods = Pods::new(cluster.client);
            let pod = pods.find(named, self.namespace.as_deref().unwrap_or(&cluster.namespace)).await?;
            let meant = Pilots::find(&pods, &self.asked.mesh.namespace).await?.configuration(&pod.to_string()).await?;
            let page = pods.get(&pod, ADMIN, "/config_dump?include_eds").await?;
            Ok((pod.clone(), Dump::parse(&page, &pod.to_string())?, meant))
        })?;
        let differences = differences(&held, &meant);
        let told = match self.asked.output {
            Form::Human => compared(&differences),
            form => report::document(&compared_value(&pod, &differences), form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(if differences.values().all(Vec::is_empty) { Exit::Clean } else { Exit::Findings })
    }
}

// === all proxies ===

/// How far a proxy got with a kind.
fn state(proxy: &Connected, kind: usize) -> &'static str {
    let short = ["cds", "lds", "eds", "rds"][kind];
    let (sent, acked) = &proxy.progress[kind];
    match () {
        () if proxy.rejections.iter().any(|it| it.column() == short) => "NACKED",
        () if sent.is_empty() => "NOT SENT",
        () if sent == acked => "SYNCED",
        () => "STALE",
    }
}

/// The proxies as a table.
pub(super) fn table(proxies: &[Connected], style: Style) -> String {
    let mut table = Table::new(&["NAME", "CDS", "LDS", "EDS", "RDS", "PILOT", "VERSION"]);
    for it in proxies {
        let states = (0..KINDS.len()).map(|kind| state(it, kind).to_owned());
        let row: Vec<String> = [it.proxy.clone()].into_iter().chain(states).chain([it.pilot.clone(), it.version.clone()]).collect();
        table.row(row);
    }
    let mut shown = table.shown();
    if style.coloured {
        for (word, paint) in [("NACKED", Paint::Red), ("STALE", Paint::Yellow)] {
            shown = shown.replace(&format!("  {word}"), &format!("  {}", style.paint(paint, word)));
        }
    }
    shown
}

/// The proxies for programs.
pub(super) fn value(proxies: &[Connected]) -> Value {
    let value = |it: &Connected| {
        let states: serde_json::Map<String, Value> =
            COLUMNS.iter().enumerate().map(|(kind, column)| (column.to_lowercase(), json!(state(it, kind)))).collect();
        let rejections: Vec<Value> = it.rejections.iter().map(super::Rejection::to_value).collect();
        let mut value = json!({"name": it.proxy, "pilot": it.pilot, "version": it.version, "rejections": rejections});
        if let Some(fields) = value.as_object_mut() {
            fields.extend(states);
        }
        value
    };
    Value::Array(proxies.iter().map(value).collect())
}

/// What is to be said beside the table: who keeps an old form, and because of what.
pub(super) fn notes(proxies: &[Connected]) -> Vec<String> {
    let note = |proxy: &Connected, rejection: &super::Rejection| {
        let (pod, namespace) = proxy.proxy.split_once('.').unwrap_or((&proxy.proxy, ""));
        let because = rejection.blamed().map(|object| format!(" because of {object}")).unwrap_or_default();
        format!("note: {pod} keeps its last good {}{because}: ferromesh why nack {pod} -n {namespace}", rejection.kept())
    };
    let mut notes: Vec<String> = proxies.iter().flat_map(|it| it.rejections.iter().map(move |rejection| note(it, rejection))).collect();
    notes.dedup();
    notes
}

// === one proxy ===

/// Of each kind, the resources whose versions differ, with what differs.
pub(super) fn differences(held: &Dump, meant: &Value) -> BTreeMap<&'static str, Vec<String>> {
    let kinds: [(&str, &str, Vec<Held>); 4] = [
        ("Clusters", "cds", held.clusters()),
        ("Listeners", "lds", held.listeners()),
        ("Endpoints", "eds", held.endpoints()),
        ("Routes", "rds", held.routes()),
    ];
    let mut differences = BTreeMap::new();
    for (shown, kind, held) in kinds {
        let mut told: Vec<String> = held.iter().filter(|it| is_split(it)).flat_map(|table| hosts_that_differ(table, meant)).collect();
        let resources = meant["resources"].as_array().into_iter().flatten().filter(|it| it["type"] == kind);
        let meant: BTreeMap<&str, &str> = resources.filter_map(|it| Some((it["name"].as_str()?, it["version"].as_str()?))).collect();
        // What stands in the bootstrap has no version, and pilot has no part in it.
        let held: BTreeMap<&str, &str> = held
            .iter()
            .filter(|it| !it.version.is_empty())
            .map(|it| (it.name.as_str(), if is_split(it) { OF_HOSTS } else { &it.version }))
            .collect();
        for (name, version) in &meant {
            match held.get(name) {
                // Nobody asks for the routes and endpoints of what is not there.
                None if matches!(kind, "eds" | "rds") => {}
                None => told.push(format!("{name} is missing")),
                Some(own) if own != version && *own != OF_HOSTS => told.push(format!("{name} is another version")),
                Some(_) => {}
            }
        }
        told.extend(held.keys().filter(|name| !meant.contains_key(*name)).map(|name| format!("{name} is not meant to be there")));
        differences.insert(shown, told);
    }
    differences
}

fn is_split(table: &Held) -> bool {
    table.resource["vhds"].is_object()
}

/// The virtual hosts that a table lacks, and those that are not meant to be there.
fn hosts_that_differ(table: &Held, meant: &Value) -> Vec<String> {
    let tables = meant["configs"].as_array().into_iter().flatten().flat_map(|part| part["dynamic_route_configs"].as_array()).flatten();
    let Some(wanted) = tables.map(|entry| &entry["route_config"]).find(|it| it["name"] == table.name.as_str()) else { return Vec::new() };
    let (meant, held) = (hosts_of(wanted), hosts_of(&table.resource));
    let place = &table.name;
    let missing = meant.difference(&held).map(|host| format!("{host} of {place} is missing"));
    missing.chain(held.difference(&meant).map(|host| format!("{host} of {place} is not meant to be there"))).collect()
}

fn hosts_of(table: &Value) -> BTreeSet<&str> {
    table["virtual_hosts"].as_array().into_iter().flatten().filter_map(|host| host["name"].as_str()).collect()
}

/// The comparison for people.
pub(super) fn compared(differences: &BTreeMap<&str, Vec<String>>) -> String {
    let mut told = String::new();
    for (kind, lines) in differences {
        let verb = if lines.is_empty() { "match" } else { "don't match" };
        told.push_str(&format!("{kind} {verb}\n"));
        lines.iter().for_each(|line| told.push_str(&format!("  {line}\n")));
    }
    told
}

fn compared_value(pod: &PodName, differences: &BTreeMap<&str, Vec<String>>) -> Value {
    let kinds: serde_json::Map<String, Value> = differences.iter().map(|(kind, lines)| (kind.to_lowercase(), json!(lines))).collect();
    json!({"name": pod.to_string(), "differences": kinds})
}
