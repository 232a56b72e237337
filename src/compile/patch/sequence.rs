//! Lists whose order counts: filters of a chain, of a connection manager, of a listener.

use envoy_api::envoy::{
    config::{
        core::v3::{ExtensionConfigSource, TypedExtensionConfig, config_source::ConfigSourceSpecifier},
        listener::v3::{Filter, ListenerFilter, filter, listener_filter},
    },
    extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter},
};
use prost::{Message, Name};
use prost_types::Any;

use super::{
    apply::{adds, merge, message},
    table::ReadPatch,
};
use crate::compile::scope::Scope;
use crate::model::{FilterClass, PatchOperation};

/// A filter of some sort.
pub(in crate::compile) trait Element: Message + Name + Default + Clone {
    /// Its name, by which patches find it.
    fn label(&self) -> &str;
    /// Its configuration.
    fn config(&self) -> Option<&Any>;
    /// Where else its configuration is found.
    fn discovery(&self) -> Option<&ExtensionConfigSource>;
    /// Gives it a configuration.
    fn configure(&mut self, config: Any);
    /// Whether it must be the last one.
    fn is_last(&self) -> bool;
}

/// Parts of a chain of filters, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::compile) enum Stage {
    /// Who calls?
    Authentication,
    /// May they?
    Authorization,
    /// All that follows.
    Later,
}

impl Stage {
    fn of(name: &str) -> Self {
        match name {
            "envoy.filters.http.jwt_authn" | "istio_authn" | "istio.metadata_exchange" => Self::Authentication,
            "envoy.filters.http.rbac"
            | "envoy.filters.http.ext_authz"
            | "envoy.filters.network.rbac"
            | "envoy.filters.network.ext_authz" => Self::Authorization,
            _ => Self::Later,
        }
    }

    /// The place before all filters of this stage and of later ones.
    pub(in crate::compile) fn begins<T: Element>(self, filters: &[T]) -> usize {
        filters.iter().position(|filter| Self::of(filter.label()) >= self).unwrap_or(filters.len())
    }
}

/// What users make of a list. `anchor` is the name that a patch gives to the element that it is about. Places are changed first, then
/// values are merged, as in the reference.
pub(super) fn change<T: Element>(
    scope: &Scope<'_>,
    items: &mut Vec<T>,
    patches: &[&ReadPatch],
    anchor: impl Fn(&ReadPatch) -> Option<&str>,
) {
    for patch in patches {
        if moved(scope, items, patch, anchor(patch)) {
            scope.shaped_by(&patch.origin);
        }
    }
    for patch in patches {
        let anchor = anchor(patch);
        for item in items.iter_mut().filter(|item| anchor.is_none_or(|name| name == item.label())) {
            merge_named(scope, item, patch, anchor.is_some());
        }
    }
}

/// Whether the list was changed.
fn moved<T: Element>(scope: &Scope<'_>, items: &mut Vec<T>, patch: &ReadPatch, anchor: Option<&str>) -> bool {
    let found = anchor.map(|name| items.iter().position(|item| item.label() == name));
    let place = match (&patch.patch.operation, found) {
        (PatchOperation::Merge(_) | PatchOperation::MergeReplacingLists(_), _) => return false,
        // What is not named is not there to be removed or replaced: the mesh's own must not go by accident.
        (PatchOperation::Remove, _) => {
            let before = items.len();
            items.retain(|item| anchor.is_none_or(|name| name != item.label()));
            return items.len() < before;
        }
        (PatchOperation::Replace(_), None) => return false,
        (PatchOperation::Add(_, class), _) => class_begins(items, *class),
        (PatchOperation::InsertFirst(_) | PatchOperation::InsertBefore(_), None) | (PatchOperation::InsertFirst(_), Some(_)) => 0,
        (PatchOperation::InsertAfter(_), None) => end(items),
        (_, Some(None)) => return false,
        (PatchOperation::InsertAfter(_), Some(Some(place))) => place + 1,
        (PatchOperation::InsertBefore(_) | PatchOperation::Replace(_), Some(Some(place))) => place,
    };
    let Some(value) = message(scope, patch) else { return false };
    match patch.patch.operation {
        PatchOperation::Replace(_) => items[place] = value,
        _ => items.insert(place, value),
    }
    true
}

/// Puts configurations that users add into the filters that wait for them from pilot: they need no resource of their own.
pub(super) fn resolve<T: Element>(scope: &Scope<'_>, items: &mut [T], extensions: &[&ReadPatch]) {
    for item in items {
        let source = item.discovery().and_then(|source| source.config_source.as_ref()?.config_source_specifier.as_ref());
        if !matches!(source, Some(ConfigSourceSpecifier::Ads(_))) {
            continue;
        }
        for patch in extensions.iter().filter(|patch| adds(&patch.patch.operation)) {
            let Some(found) = message::<TypedExtensionConfig>(scope, patch).filter(|found| found.name == item.label()) else { continue };
            if let Some(config) = found.typed_config {
                item.configure(config);
                scope.shaped_by(&patch.origin);
            }
            break;
        }
    }
}

/// The end of a list, before the filter that ends it: Envoy refuses what comes behind that one.
fn end<T: Element>(items: &[T]) -> usize {
    items.len() - usize::from(items.last().is_some_and(Element::is_last))
}

fn class_begins<T: Element>(items: &[T], class: FilterClass) -> usize {
    match class {
        FilterClass::Unspecified => end(items),
        FilterClass::Authn => Stage::Authorization.begins(items),
        FilterClass::Authz => Stage::Later.begins(items),
        FilterClass::Stats => items.iter().position(|item| item.label() == "istio.stats").unwrap_or_else(|| end(items)),
    }
}

fn merge_named<T: Element>(scope: &Scope<'_>, item: &mut T, patch: &ReadPatch, named: bool) {
    let Some((value, _)) = patch.merges() else { return };
    // A filter that finds its configuration elsewhere has none to merge into.
    let Some(config) = item.config() else { return };
    let own = config.type_url.rsplit('/').next().unwrap_or_default();
    if let Some(found) = value.packed_type("typed_config").filter(|found| found != own) {
        if named {
            scope.leave_out(patch.fault_because(format!("typed_config is a {found}, that of {} a {own}", item.label())));
        }
        return;
    }
    merge(scope, item, patch);
}

impl Element for HttpFilter {
    fn label(&self) -> &str {
        &self.name
    }

    fn config(&self) -> Option<&Any> {
        match &self.config_type {
            Some(http_filter::ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        }
    }

    fn discovery(&self) -> Option<&ExtensionConfigSource> {
        match &self.config_type {
            Some(http_filter::ConfigType::ConfigDiscovery(source)) => Some(source),
            _ => None,
        }
    }

    fn configure(&mut self, config: Any) {
        self.config_type = Some(http_filter::ConfigType::TypedConfig(config));
    }

    fn is_last(&self) -> bool {
        self.name == "envoy.filters.http.router"
    }
}

impl Element for Filter {
    fn label(&self) -> &str {
        &self.name
    }

    fn config(&self) -> Option<&Any> {
        match &self.config_type {
            Some(filter::ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        }
    }

    fn discovery(&self) -> Option<&ExtensionConfigSource> {
        match &self.config_type {
            Some(filter::ConfigType::ConfigDiscovery(source)) => Some(source),
            _ => None,
        }
    }

    fn configure(&mut self, config: Any) {
        self.config_type = Some(filter::ConfigType::TypedConfig(config));
    }

    fn is_last(&self) -> bool {
        matches!(&*self.name, "envoy.filters.network.http_connection_manager" | "envoy.filters.network.tcp_proxy")
    }
}

impl Element for ListenerFilter {
    fn label(&self) -> &str {
        &self.name
    }

    fn config(&self) -> Option<&Any> {
        match &self.config_type {
            Some(listener_filter::ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        }
    }

    fn discovery(&self) -> Option<&ExtensionConfigSource> {
        match &self.config_type {
            Some(listener_filter::ConfigType::ConfigDiscovery(source)) => Some(source),
            _ => None,
        }
    }

    fn configure(&mut self, config: Any) {
        self.config_type = Some(listener_filter::ConfigType::TypedConfig(config));
    }

    fn is_last(&self) -> bool {
        false
    }
}
