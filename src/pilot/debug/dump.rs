//! All that a proxy is configured with, in the form of Envoy's own dump, which tools read, and beside it the objects behind each resource.

use prost_types::Any;
use serde_json::{Value, json};

use super::{short_name, version_text};
use crate::compile::{Compiled, Resource, ResourceType};

/// A kind's part of Envoy's dump: its type, its list, and what wraps a resource in it.
fn place(kind: ResourceType) -> (&'static str, &'static str, &'static str) {
    match kind {
        ResourceType::Cluster => ("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
        ResourceType::Endpoints => ("EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config"),
        ResourceType::Secret => ("SecretsConfigDump", "dynamic_active_secrets", "secret"),
        ResourceType::Listener => ("ListenersConfigDump", "dynamic_listeners", "listener"),
        ResourceType::Route => ("RoutesConfigDump", "dynamic_route_configs", "route_config"),
    }
}

/// Envoy's parts, one a kind.
pub(super) fn configs(compiled: &Compiled, kinds: &[ResourceType]) -> Vec<Value> {
    let part = |kind: &ResourceType| {
        let (name, list, _) = place(*kind);
        let entries: Vec<Value> = compiled.resources(*kind).into_iter().map(|resource| entry(resource)).collect();
        json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{name}"), list: entries})
    };
    kinds.iter().map(part).collect()
}

fn entry(resource: &Resource) -> Value {
    let (_, _, within) = place(resource.kind);
    // A body of this kind may be a key, and its version a hash of one.
    if resource.kind == ResourceType::Secret {
        let named = json!({"@type": resource.kind.type_url(), "name": &*resource.name});
        return json!({"name": &*resource.name, within: named});
    }
    let any = Any { type_url: resource.kind.type_url().to_owned(), value: resource.body.to_vec() };
    let body = envoy_api::json::to_value(&any).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    let state = json!({"version_info": version_text(resource.hash), within: body});
    match resource.kind {
        ResourceType::Listener => json!({"name": &*resource.name, "active_state": state}),
        _ => state,
    }
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
