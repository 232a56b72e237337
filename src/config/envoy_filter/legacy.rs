//! `filters`: how filters were added before there were `configPatches`, as which they are read.

use std::sync::Arc;

use ferromesh_crds::networking::envoy_filter::{
    InsertIndex, LegacyFilter, LegacyFilterType, LegacyListenerMatch, LegacyListenerProtocol, LegacyListenerType,
};
use serde_json::{Value, json};

use super::names::{CONNECTION_MANAGER, successor};
use crate::config::path::{At, SPEC};
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::config::text::given;
use crate::model::{
    EnvoyPatch, FilterChainMatch, FilterClass, Labels, ListenerMatch, ObjectMatch, PatchContext, PatchOperation, PatchedObject,
};

/// Reads the filters, and says what replaces them.
pub(super) fn read(reading: &mut Reading<'_>, filters: &[LegacyFilter]) -> Vec<EnvoyPatch> {
    if filters.is_empty() {
        return Vec::new();
    }
    let at = SPEC.field("filters");
    reading.warn(&at, Code::Deprecated, "deprecated: use configPatches with applyTo HTTP_FILTER or NETWORK_FILTER");
    let patches = filters.iter().enumerate().map(|(index, one)| filter(reading, &at.index(index), one));
    patches.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// A filter as a patch; `None` for what none can say.
fn filter(reading: &mut Reading<'_>, at: &At<'_>, filter: &LegacyFilter) -> Option<EnvoyPatch> {
    let needed = [
        ("filterType", filter.filter_type.is_some()),
        ("filterName", given(&filter.filter_name)),
        ("filterConfig", filter.filter_config.is_some()),
    ];
    for (field, _) in needed.iter().filter(|(_, given)| !given) {
        reading.required(&at.field(field));
    }
    let listener = filter.listener_match.clone().unwrap_or_default();
    let port = reading.optional_port(&at.field("listenerMatch").field("portNumber"), listener.port_number);
    let expressible = can_be_said(reading, &at.field("listenerMatch"), filter, &listener);
    let position = filter.insert_position.clone().unwrap_or_default();
    let relative = position.relative_to.filter(|name| !name.is_empty());
    if matches!(position.index, Some(InsertIndex::Before | InsertIndex::After)) && relative.is_none() {
        let message = "required by BEFORE and AFTER";
        reading.error(&at.field("insertPosition").field("relativeTo"), Code::Required, message);
    }
    let value = Arc::new(value(filter.filter_name.as_deref()?, filter.filter_config.as_ref()?));
    let operation = match position.index {
        None | Some(InsertIndex::First) => PatchOperation::InsertFirst(value),
        Some(InsertIndex::Last) => PatchOperation::Add(value, FilterClass::Unspecified),
        Some(InsertIndex::Before) => PatchOperation::InsertBefore(value),
        Some(InsertIndex::After) => PatchOperation::InsertAfter(value),
    };
    let (apply_to, filter_chain) = place(filter.filter_type?, relative.as_deref());
    expressible.then(|| EnvoyPatch {
        path: at.to_string().into(),
        apply_to,
        context: match listener.listener_type {
            None | Some(LegacyListenerType::Any) => PatchContext::Any,
            Some(LegacyListenerType::SidecarInbound) => PatchContext::SidecarInbound,
            Some(LegacyListenerType::SidecarOutbound) => PatchContext::SidecarOutbound,
            Some(LegacyListenerType::Gateway) => PatchContext::Gateway,
        },
        proxy_version: None,
        proxy_metadata: Labels::new(),
        object: ObjectMatch::Listener(ListenerMatch { port, filter_chain: Some(filter_chain), ..ListenerMatch::default() }),
        operation,
    })
}

/// Whether today's listeners have what the match is about.
fn can_be_said(reading: &mut Reading<'_>, at: &At<'_>, filter: &LegacyFilter, listener: &LegacyListenerMatch) -> bool {
    let by_protocol = filter.filter_type == Some(LegacyFilterType::Network)
        && matches!(listener.listener_protocol, Some(LegacyListenerProtocol::Http | LegacyListenerProtocol::Tcp));
    let lost = [
        ("address", !listener.address.is_empty()),
        ("portNamePrefix", given(&listener.port_name_prefix)),
        ("listenerProtocol", by_protocol),
    ];
    for (field, _) in lost.iter().filter(|(_, there)| *there) {
        let message = "listeners are not told apart by this any more, so the filter is not added: match on the port alone";
        reading.warn(&at.field(field), Code::NotHonoured, message);
    }
    lost.iter().all(|(_, there)| !there)
}

fn place(kind: LegacyFilterType, relative: Option<&str>) -> (PatchedObject, FilterChainMatch) {
    let relative = relative.map(|name| Arc::from(successor(name).unwrap_or(name)));
    match kind {
        LegacyFilterType::Http => {
            let manager = Some(CONNECTION_MANAGER.into());
            (PatchedObject::HttpFilter, FilterChainMatch { filter: manager, sub_filter: relative, ..FilterChainMatch::default() })
        }
        LegacyFilterType::Network => (PatchedObject::NetworkFilter, FilterChainMatch { filter: relative, ..FilterChainMatch::default() }),
    }
}

fn value(name: &str, config: &Value) -> Value {
    let typed = config.get("@type").is_some();
    let field = if typed { "typed_config" } else { "config" };
    json!({"name": name, (field): config})
}
