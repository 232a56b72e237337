//! All that a proxy is configured with, in the form of Envoy's own dump, which tools read, and beside it the objects behind each resource.

use std::error::Error;

use prost_types::Any;
use serde_json::{Value, json};

use super::{short_name, version_text};
use crate::compile::{Compiled, Resource, ResourceType};

/// A kind's part of Envoy's dump: its type, its list, and what wraps a resource in it.
fn place(kind: ResourceType) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match kind {
        ResourceType::Cluster => ("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
        ResourceType::Endpoints => ("EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config"),
        ResourceType::Secret => ("SecretsConfigDump", "dynamic_active_secrets", "secret"),
        ResourceType::Listener => ("ListenersConfigDump", "dynamic_listeners", "listener"),
        ResourceType::Route => ("RoutesConfigDump", "dynamic_route_configs", "route_config"),
        // Hosts stand in their tables, and names are for agents.
        ResourceType::VirtualHost | ResourceType::Name => return None,
    })
}

/// Envoy's parts, one a kind.
pub(super) fn configs(compiled: &Compiled, kinds: &[ResourceType]) -> Vec<Value> {
    let part = |kind: &ResourceType| {
        let (name, list, within) = place(*kind)?;
        let entries: Vec<Value> = compiled.resources(*kind).into_iter().map(|resource| entry(compiled, resource, within)).collect();
        Some(json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{name}"), list: entries}))
    };
    kinds.iter().filter_map(part).collect()
}

fn entry(compiled: &Compiled, resource: &Resource, within: &str) -> Value {
    // A body of this kind may be a key, and its version a hash of one.
    if resource.kind == ResourceType::Secret {
        let named = json!({"@type": resource.kind.type_url(), "name": &*resource.name});
        return json!({"name": &*resource.name, within: named});
    }
    let body = body(compiled, resource).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    let state = json!({"version_info": version_text(resource.hash), within: body});
    match resource.kind {
        ResourceType::Listener => json!({"name": &*resource.name, "active_state": state}),
        _ => state,
    }
}

/// What a resource says; of a route table with all its virtual hosts, by the names under which tools know them.
fn body(compiled: &Compiled, resource: &Resource) -> Result<Value, Box<dyn Error>> {
    let any = match resource.kind {
        ResourceType::Route => envoy_api::any(&compiled.whole_table(resource)?.message),
        _ => Any { type_url: resource.kind.type_url().to_owned(), value: resource.body.to_vec() },
    };
    Ok(envoy_api::json::to_value(&any)?)
}

/// Every resource by name and version (secrets by name alone), with the objects that shaped it.
pub(super) fn resources(compiled: &Compiled) -> Vec<Value> {
    ResourceType::ALL.iter().flat_map(|kind| compiled.resources(*kind)).map(|resource| of(resource)).collect()
}

/// One resource by name and version, if it is no secret, with the objects that shaped it.
pub(super) fn of(resource: &Resource) -> Value {
    let sources: Vec<String> = resource.sources.iter().map(ToString::to_string).collect();
    let mut value = json!({"type": short_name(resource.kind), "name": &*resource.name, "sources": sources});
    if resource.kind != ResourceType::Secret {
        value["version"] = json!(version_text(resource.hash));
    }
    value
}
