//! EnvoyFilter.

mod legacy;
mod listener;
mod matches;
mod names;
mod operation;
mod value;
mod waypoint;

use ferromesh_crds::networking::EnvoyFilter;
use ferromesh_crds::networking::envoy_filter::{self as api, ApplyTo, EnvoyConfigObjectPatch, EnvoyFilterSpec};

use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed};
use super::reading::{ParseContext, Reading};
use crate::model::{self, EnvoyPatch, Labels, PatchContext, PatchTargets, PatchedObject};

/// Reads an EnvoyFilter. Values of patches are looked at as far as that needs no knowledge of Envoy's types.
///
/// # Errors
/// Everything that is wrong with it.
pub fn envoy_filter(object: &EnvoyFilter, context: &ParseContext) -> Result<Parsed<model::EnvoyFilter>, Invalid> {
    let mut reading = Reading::new("EnvoyFilter", &object.metadata, context);
    let spec = &object.spec;
    let targets = targets(&mut reading, spec);
    let mut patches = legacy::read(&mut reading, &spec.filters);
    let list = SPEC.field("configPatches");
    if !spec.config_patches.is_empty() {
        let message = "depends on how this release configures Envoy, which the next may do otherwise: prefer another kind that does the \
                       same, and try it again before each update";
        reading.warn(&list, Code::Fragile, message);
    }
    patches.extend(spec.config_patches.iter().enumerate().filter_map(|(index, one)| patch(&mut reading, &list.index(index), one)));
    let value = model::EnvoyFilter {
        origin: reading.origin.clone(),
        targets,
        priority: spec.priority.unwrap_or_default(),
        patches,
        created: reading.created,
    };
    reading.finish(value)
}

fn targets(reading: &mut Reading<'_>, spec: &EnvoyFilterSpec) -> PatchTargets {
    let at = SPEC.field("targetRefs");
    reading.at_most_one(&at, [("workloadSelector", spec.workload_selector.is_some()), ("targetRefs", !spec.target_refs.is_empty())]);
    reading.deprecated(&SPEC, "workloadLabels", !spec.workload_labels.is_empty(), "workloadSelector.labels");
    let legacy = reading.labels(&SPEC.field("workloadLabels"), &spec.workload_labels);
    let objects = reading.target_resources(&at, &spec.target_refs);
    let selector = spec.workload_selector.as_ref();
    let labels: Labels = selector.map_or(legacy, |one| reading.selector(&SPEC.field("workloadSelector"), "labels", &one.labels));
    if spec.target_refs.is_empty() { PatchTargets::Workloads(labels) } else { PatchTargets::Objects(objects) }
}

/// A patch; `None` if it is for a waypoint, of which the mesh has none.
fn patch(reading: &mut Reading<'_>, at: &At<'_>, patch: &EnvoyConfigObjectPatch) -> Option<EnvoyPatch> {
    let matched = patch.match_.clone().unwrap_or_default();
    let here = at.field("match");
    let Some(apply_to) = patch.apply_to else {
        reading.required(&at.field("applyTo"));
        return None;
    };
    matches::check_one(reading, &here, &matched);
    let context = match matched.context {
        None | Some(api::PatchContext::Any) => Some(PatchContext::Any),
        Some(api::PatchContext::SidecarInbound) => Some(PatchContext::SidecarInbound),
        Some(api::PatchContext::SidecarOutbound) => Some(PatchContext::SidecarOutbound),
        Some(api::PatchContext::Gateway) => Some(PatchContext::Gateway),
        Some(api::PatchContext::Waypoint) => None,
    };
    let proxy = matched.proxy.clone().unwrap_or_default();
    let version = proxy.proxy_version.filter(|version| !version.is_empty());
    if let Some(version) = &version {
        reading.regex(&here.field("proxy").field("proxyVersion"), version);
    }
    let operation = operation::read(reading, at, patch, apply_to, &matched);
    let Some(context) = context else {
        waypoint::check(reading, &here, apply_to, matched.waypoint.as_ref());
        return None;
    };
    let object = matches::read(reading, &here, apply_to, &matched);
    Some(EnvoyPatch {
        path: at.to_string().into(),
        apply_to: patched(apply_to),
        context,
        proxy_version: version.map(Into::into),
        proxy_metadata: proxy.metadata,
        object,
        operation: operation?,
    })
}

/// How the objects are spelled in configuration.
fn spelled(apply_to: ApplyTo) -> &'static str {
    match apply_to {
        ApplyTo::Listener => "LISTENER",
        ApplyTo::FilterChain => "FILTER_CHAIN",
        ApplyTo::NetworkFilter => "NETWORK_FILTER",
        ApplyTo::HttpFilter => "HTTP_FILTER",
        ApplyTo::RouteConfiguration => "ROUTE_CONFIGURATION",
        ApplyTo::VirtualHost => "VIRTUAL_HOST",
        ApplyTo::HttpRoute => "HTTP_ROUTE",
        ApplyTo::Cluster => "CLUSTER",
        ApplyTo::ExtensionConfig => "EXTENSION_CONFIG",
        ApplyTo::Bootstrap => "BOOTSTRAP",
        ApplyTo::ListenerFilter => "LISTENER_FILTER",
    }
}

fn patched(apply_to: ApplyTo) -> PatchedObject {
    match apply_to {
        ApplyTo::Listener => PatchedObject::Listener,
        ApplyTo::FilterChain => PatchedObject::FilterChain,
        ApplyTo::NetworkFilter => PatchedObject::NetworkFilter,
        ApplyTo::HttpFilter => PatchedObject::HttpFilter,
        ApplyTo::RouteConfiguration => PatchedObject::RouteConfiguration,
        ApplyTo::VirtualHost => PatchedObject::VirtualHost,
        ApplyTo::HttpRoute => PatchedObject::HttpRoute,
        ApplyTo::Cluster => PatchedObject::Cluster,
        ApplyTo::ExtensionConfig => PatchedObject::ExtensionConfig,
        ApplyTo::Bootstrap => PatchedObject::Bootstrap,
        ApplyTo::ListenerFilter => PatchedObject::ListenerFilter,
    }
}

#[cfg(test)]
mod tests;
