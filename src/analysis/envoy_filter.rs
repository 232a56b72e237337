//! EnvoyFilters: changes that may not come to hold.

use super::{Code, Finding, World};
use crate::model::{EnvoyFilter, EnvoyPatch, PatchOperation, PatchedObject};

/// Checks all EnvoyFilters. At admission their reader warns of the same in its own words.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for filter in world.snapshot().config.envoy_filters.values() {
        for patch in &filter.patches {
            if let Some((code, message)) = defect(filter, patch) {
                let legacy = patch.path.starts_with("spec.filters");
                let path = format!("{}.{}", patch.path, if legacy { "insertPosition" } else { "patch.operation" });
                findings.push(Finding::new(code, &filter.origin, path, message));
            }
        }
    }
}

fn defect(filter: &EnvoyFilter, patch: &EnvoyPatch) -> Option<(Code, &'static str)> {
    let of_routes = matches!(patch.apply_to, PatchedObject::RouteConfiguration | PatchedObject::HttpRoute);
    let is_filter = matches!(patch.apply_to, PatchedObject::NetworkFilter | PatchedObject::HttpFilter);
    match patch.operation {
        PatchOperation::Add(..) if of_routes => {
            Some((Code::EnvoyFilterUsesAddOperationIncorrectly, "route configurations and routes can't be added: MERGE into what is there"))
        }
        PatchOperation::Remove if of_routes => {
            Some((Code::EnvoyFilterUsesRemoveOperationIncorrectly, "route configurations and routes can't be removed"))
        }
        PatchOperation::Replace(_) if !is_filter => Some((
            Code::EnvoyFilterUsesReplaceOperationIncorrectly,
            "only HTTP and network filters can be replaced: REMOVE and ADD, or MERGE",
        )),
        PatchOperation::Remove | PatchOperation::Replace(_) | PatchOperation::InsertBefore(_) | PatchOperation::InsertAfter(_)
            if filter.priority == 0 =>
        {
            Some(if patch.proxy_version.is_some() {
                let message =
                    "depends on what other EnvoyFilters do first, and on the proxy's version: set a priority, so that an update keeps it";
                (Code::EnvoyFilterUsesRelativeOperationWithProxyVersion, message)
            } else {
                let message = "depends on what other EnvoyFilters do first: set a priority, or use INSERT_FIRST or ADD";
                (Code::EnvoyFilterUsesRelativeOperation, message)
            })
        }
        _ => None,
    }
}
