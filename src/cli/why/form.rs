//! Explanations for people and for programs.

use serde_json::{Value, json};

use super::Destination;
use crate::cli::terminal::harmless;
use crate::simulate::{Decision, Explanation, Hop, Origin, Outcome, Possibility};

/// Addresses that are shown of a cluster; the others are counted.
const SHOWN_ADDRESSES: usize = 3;

/// For people: each hop with its decisions, then what may come of it.
pub(super) fn human(explained: &Explanation) -> String {
    let hops: Vec<String> = explained.hops.iter().map(hop).collect();
    hops.join("\n")
}

fn hop(hop: &Hop) -> String {
    let way = if hop.inbound { "to its application" } else { "sends" };
    let mut told = format!("{} {way}\n", hop.proxy);
    hop.decisions.iter().for_each(|it| told.push_str(&decision(it)));
    hop.possibilities.iter().for_each(|it| told.push_str(&possibility(it)));
    told
}

fn decision(decision: &Decision) -> String {
    let name = if decision.name.is_empty() { String::new() } else { format!("{}: ", decision.name) };
    format!("  {:12}  {}\n{}", decision.step, harmless(&format!("{name}{}", decision.because)), by(&decision.origins))
}

/// The objects behind a line, each on its own.
fn by(origins: &[Origin]) -> String {
    origins.iter().map(|origin| format!("  {:12}    by {}\n", "", harmless(&origin.to_string()))).collect()
}

fn possibility(possibility: &Possibility) -> String {
    let what = match &possibility.outcome {
        Outcome::Sent { cluster, endpoints } if endpoints.is_empty() => format!("to {cluster}"),
        Outcome::Sent { cluster, endpoints } => format!("to {cluster} at {}", addresses(endpoints)),
        Outcome::Answered { status, location: Some(location) } => format!("{status} to {location}, because {}", possibility.because),
        Outcome::Answered { status, location: None } => format!("{status}, because {}", possibility.because),
        Outcome::Closed => format!("the connection is closed, because {}", possibility.because),
    };
    let delay = possibility.delay.map(|delay| format!(" after {} s", delay.as_secs_f64())).unwrap_or_default();
    format!("  {:12}  {}{delay}\n{}", format!("=> {}", share(possibility.share)), harmless(&what), by(&possibility.origins))
}

fn addresses(endpoints: &[String]) -> String {
    match endpoints.len().checked_sub(SHOWN_ADDRESSES) {
        Some(more @ 1..) => format!("{} and {more} more", endpoints[..SHOWN_ADDRESSES].join(", ")),
        _ => endpoints.join(", "),
    }
}

fn share(share: f64) -> String {
    format!("{} %", (share * 10_000.0).round() / 100.0)
}

/// For programs.
pub(super) fn value(explained: &Explanation, destination: &Destination) -> Value {
    let hops: Vec<Value> = explained.hops.iter().map(hop_value).collect();
    json!({"apiVersion": "ferromesh.dev/v1", "kind": "Explanation", "request": destination.to_string(), "hops": hops, "notes": explained.notes})
}

fn hop_value(hop: &Hop) -> Value {
    let decisions: Vec<Value> = hop
        .decisions
        .iter()
        .map(|it| json!({"step": it.step.to_string(), "name": it.name, "because": it.because, "origins": origins(&it.origins)}))
        .collect();
    let possibilities: Vec<Value> = hop.possibilities.iter().map(possibility_value).collect();
    let direction = if hop.inbound { "inbound" } else { "outbound" };
    json!({"proxy": hop.proxy, "direction": direction, "decisions": decisions, "possibilities": possibilities})
}

fn possibility_value(possibility: &Possibility) -> Value {
    let mut value = json!({"share": possibility.share, "because": possibility.because, "origins": origins(&possibility.origins)});
    match &possibility.outcome {
        Outcome::Sent { cluster, endpoints } => {
            value["cluster"] = json!(cluster);
            value["endpoints"] = json!(endpoints);
        }
        Outcome::Answered { status, location } => {
            value["status"] = json!(status);
            if let Some(location) = location {
                value["location"] = json!(location);
            }
        }
        Outcome::Closed => value["closed"] = json!(true),
    }
    if let Some(delay) = possibility.delay {
        value["delaySeconds"] = json!(delay.as_secs_f64());
    }
    value
}

fn origins(origins: &[Origin]) -> Value {
    let value = |it: &Origin| {
        let mut value = json!({"kind": it.object.kind, "namespace": *it.object.namespace, "name": *it.object.name});
        if let Some(field) = &it.field {
            value["field"] = json!(field);
        }
        value
    };
    Value::Array(origins.iter().map(value).collect())
}
