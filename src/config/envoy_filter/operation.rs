//! `patch`: what is done, and whether that can be done to what is changed.

use std::sync::Arc;

use ferromesh_crds::networking::envoy_filter::{self as api, ApplyTo, EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, Patch};
use serde_json::Value;

use super::{spelled, value};
use crate::config::path::At;
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::config::text::given;
use crate::model::{FilterClass, PatchOperation};

/// What is done; `None` if that is not said. `at` is the whole change.
pub(super) fn read(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    change: &EnvoyConfigObjectPatch,
    apply_to: ApplyTo,
    matched: &EnvoyConfigObjectMatch,
) -> Option<PatchOperation> {
    let at = at.field("patch");
    let Some(patch) = &change.patch else {
        reading.required(&at);
        return None;
    };
    let Some(operation) = patch.operation else {
        reading.required(&at.field("operation"));
        return None;
    };
    check_reach(reading, &at, apply_to, operation, matched);
    check_class(reading, &at, patch, operation);
    let here = at.field("value");
    if operation == api::PatchOperation::Remove {
        if patch.value.is_some() {
            reading.warn(&here, Code::NoEffect, "REMOVE needs no value");
        }
        return Some(PatchOperation::Remove);
    }
    let Some(found) = &patch.value else {
        reading.error(&here, Code::Required, "required by every operation but REMOVE");
        return None;
    };
    value::check(reading, &here, apply_to, operation, found);
    let value: Arc<Value> = Arc::new(found.clone());
    Some(match operation {
        api::PatchOperation::Merge => PatchOperation::Merge(value),
        api::PatchOperation::MergeAndReplaceList => PatchOperation::MergeReplacingLists(value),
        api::PatchOperation::Add => PatchOperation::Add(value, class(patch)),
        api::PatchOperation::InsertFirst => PatchOperation::InsertFirst(value),
        api::PatchOperation::InsertBefore => PatchOperation::InsertBefore(value),
        api::PatchOperation::InsertAfter => PatchOperation::InsertAfter(value),
        api::PatchOperation::Replace => PatchOperation::Replace(value),
        api::PatchOperation::Remove => PatchOperation::Remove,
    })
}

fn class(patch: &Patch) -> FilterClass {
    match patch.filter_class {
        None | Some(api::FilterClass::Unspecified) => FilterClass::Unspecified,
        Some(api::FilterClass::Authn) => FilterClass::Authn,
        Some(api::FilterClass::Authz) => FilterClass::Authz,
        Some(api::FilterClass::Stats) => FilterClass::Stats,
    }
}

fn check_class(reading: &mut Reading<'_>, at: &At<'_>, patch: &Patch, operation: api::PatchOperation) {
    if class(patch) != FilterClass::Unspecified && operation != api::PatchOperation::Add {
        reading.warn(&at.field("filterClass"), Code::NoEffect, "has an effect with ADD alone");
    }
}

/// Warns of operations that do nothing there, and of places that depend on what else there is.
fn check_reach(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    apply_to: ApplyTo,
    operation: api::PatchOperation,
    matched: &EnvoyConfigObjectMatch,
) {
    use api::PatchOperation::{Add, InsertAfter, InsertBefore, InsertFirst, Merge, MergeAndReplaceList, Remove, Replace};
    let name = spelled(apply_to);
    let here = at.field("operation");
    let filters = matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter);
    if apply_to == ApplyTo::RouteConfiguration && !matches!(operation, Merge | MergeAndReplaceList | Replace) {
        reading.warn(&here, Code::NoEffect, "ROUTE_CONFIGURATION can only be merged into");
    } else if apply_to == ApplyTo::Bootstrap && !matches!(operation, Merge | MergeAndReplaceList) {
        reading.warn(&here, Code::NoEffect, "BOOTSTRAP can only be merged into");
    } else if operation == Replace && !filters && apply_to != ApplyTo::VirtualHost {
        let message = format!("only filters and virtual hosts can be replaced, and {name} is neither: REMOVE and ADD, or MERGE");
        reading.warn(&here, Code::NoEffect, message);
    }
    if !filters || names_filter(apply_to, matched) {
        return;
    }
    match operation {
        InsertBefore => {
            reading.warn(&here, Code::Fragile, "no filter is named in the match, so the value comes at the front: use INSERT_FIRST")
        }
        InsertAfter => {
            reading.warn(&here, Code::Fragile, "no filter is named in the match, so the value comes at the end: name one, or use ADD")
        }
        Replace => reading.warn(&here, Code::NoEffect, "no filter is named in the match, so nothing is replaced"),
        Add | InsertFirst | Merge | MergeAndReplaceList | Remove => {}
    }
}

/// Whether the match names a filter of the sort that is changed.
fn names_filter(apply_to: ApplyTo, matched: &EnvoyConfigObjectMatch) -> bool {
    let filter = match matched.context {
        Some(api::PatchContext::Waypoint) => matched.waypoint.as_ref().and_then(|one| one.filter.as_ref()),
        _ => matched.listener.as_ref().and_then(|one| one.filter_chain.as_ref()?.filter.as_ref()),
    };
    match apply_to {
        ApplyTo::ListenerFilter => matched.listener.as_ref().is_some_and(|one| given(&one.listener_filter)),
        ApplyTo::HttpFilter => filter.is_some_and(|one| one.sub_filter.as_ref().is_some_and(|inner| given(&inner.name))),
        _ => filter.is_some_and(|one| given(&one.name)),
    }
}
