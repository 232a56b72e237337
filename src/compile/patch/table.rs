//! The EnvoyFilters of the mesh, by what they change and where they hold, each value read once.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use envoy_api::envoy::{
    config::{
        bootstrap::v3::Bootstrap,
        cluster::v3::Cluster,
        core::v3::TypedExtensionConfig,
        listener::v3::{Filter, FilterChain, Listener, ListenerFilter},
        route::v3::{Route, RouteConfiguration, VirtualHost},
    },
    extensions::filters::network::http_connection_manager::v3::HttpFilter,
};
use envoy_api::json::{Lists, Patch};
use prost::Name;
use regex::Regex;

use super::dated;
use crate::compile::{
    fault::{Fault, FaultCause},
    input::Input,
    mesh::Dirty,
};
use crate::model::{EnvoyFilter, EnvoyPatch, ObjectRef, PatchOperation, PatchedObject};

/// What kind of resource a patch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::compile) enum Subject {
    /// Clusters.
    Clusters,
    /// Listeners, with all that is in them but their routes.
    Listeners,
    /// Routes.
    Routes,
    /// What Envoy starts with.
    Bootstrap,
}

/// EnvoyFilters by what they change, then by namespace.
#[derive(Clone, Debug, Default)]
pub(in crate::compile) struct PatchTable(BTreeMap<Subject, BTreeMap<Arc<str>, Vec<Arc<ReadFilter>>>>);

/// An EnvoyFilter whose values were read.
#[derive(Debug)]
pub(in crate::compile) struct ReadFilter {
    pub(super) filter: Arc<EnvoyFilter>,
    pub(super) patches: Vec<ReadPatch>,
}

/// A patch whose value was read.
#[derive(Debug)]
pub(in crate::compile) struct ReadPatch {
    pub(super) origin: ObjectRef,
    pub(super) patch: EnvoyPatch,
    pub(super) subject: Subject,
    /// The value; a text says why there is none.
    value: Result<Option<Patch>, String>,
    /// What the proxy's version must match.
    pub(super) version: Option<Regex>,
}

// === impl Subject ===

impl Subject {
    const ALL: [Self; 4] = [Self::Clusters, Self::Listeners, Self::Routes, Self::Bootstrap];

    /// What a patch of these objects changes, and their type.
    fn of(object: PatchedObject) -> (Self, String) {
        match object {
            PatchedObject::Cluster => (Self::Clusters, Cluster::full_name()),
            PatchedObject::Listener => (Self::Listeners, Listener::full_name()),
            PatchedObject::FilterChain => (Self::Listeners, FilterChain::full_name()),
            PatchedObject::ListenerFilter => (Self::Listeners, ListenerFilter::full_name()),
            PatchedObject::NetworkFilter => (Self::Listeners, Filter::full_name()),
            PatchedObject::HttpFilter => (Self::Listeners, HttpFilter::full_name()),
            PatchedObject::RouteConfiguration => (Self::Routes, RouteConfiguration::full_name()),
            PatchedObject::VirtualHost => (Self::Routes, VirtualHost::full_name()),
            PatchedObject::HttpRoute => (Self::Routes, Route::full_name()),
            PatchedObject::ExtensionConfig => (Self::Listeners, TypedExtensionConfig::full_name()),
            PatchedObject::Bootstrap => (Self::Bootstrap, Bootstrap::full_name()),
        }
    }
}

// === impl PatchTable ===

impl PatchTable {
    /// Puts an EnvoyFilter's new form, or its absence, in the place of its old one, and notes what that dirties.
    pub(in crate::compile) fn replace(&mut self, object: &ObjectRef, filter: Option<&Arc<EnvoyFilter>>, dirty: &mut Dirty) {
        let filter = filter.map(|filter| Arc::new(ReadFilter::of(filter)));
        for subject in Subject::ALL {
            let namespaces = self.0.entry(subject).or_default();
            let list = namespaces.entry(object.namespace.clone()).or_default();
            let before = list.len();
            list.retain(|other| other.filter.origin != *object);
            let found = filter.as_ref().filter(|it| it.patches.iter().any(|patch| patch.subject == subject));
            if list.len() < before || found.is_some() {
                dirty.insert(Input::Patches(subject, object.namespace.clone()));
            }
            list.extend(found.cloned());
            if (before == 0) != list.is_empty() {
                dirty.insert(Input::PatchedNamespaces(subject));
            }
            if list.is_empty() {
                namespaces.remove(&object.namespace);
            }
        }
    }

    /// One patch, by its object and path.
    pub(super) fn find(&self, subject: Subject, object: &ObjectRef, path: &str) -> Option<&ReadPatch> {
        let filter = self.0.get(&subject)?.get(&object.namespace)?.iter().find(|it| it.filter.origin == *object)?;
        filter.patches.iter().find(|patch| *patch.patch.path == *path)
    }

    /// The EnvoyFilters that change something of a kind, by namespace.
    pub(super) fn about(&self, subject: Subject) -> Option<&BTreeMap<Arc<str>, Vec<Arc<ReadFilter>>>> {
        self.0.get(&subject).filter(|namespaces| !namespaces.is_empty())
    }
}

/// The patches of an EnvoyFilter whose values are no objects of Envoy's API, in order. No proxy gets them.
pub fn unreadable_patches(filter: &EnvoyFilter) -> Vec<Fault> {
    let read = filter.patches.iter().map(|patch| ReadPatch::of(&filter.origin, patch));
    read.filter_map(|patch| Some(patch.fault_because(patch.defect()?.to_owned()))).collect()
}

// === impl ReadFilter ===

impl ReadFilter {
    fn of(filter: &Arc<EnvoyFilter>) -> Self {
        let patches = filter.patches.iter().map(|patch| ReadPatch::of(&filter.origin, patch)).collect();
        Self { filter: filter.clone(), patches }
    }
}

// === impl ReadPatch ===

impl ReadPatch {
    fn of(origin: &ObjectRef, patch: &EnvoyPatch) -> Self {
        let (subject, name) = Subject::of(patch.apply_to);
        let value = patch.operation.value().map(|value| Patch::read(&name, dated::brought_up_to_date(patch.apply_to, value)));
        // What Rust can't compile of what RE2 can was refused at admission: it would match nothing here.
        let version = patch.proxy_version.as_ref().map(|text| Regex::new(text));
        let value = match (value.transpose(), &version) {
            (_, Some(Err(error))) => Err(error.to_string()),
            (value, _) => value.map_err(|error| chain(&error)),
        };
        Self { origin: origin.clone(), patch: patch.clone(), subject, value, version: version.and_then(Result::ok) }
    }

    /// What is wrong with the value, if something is.
    pub(super) fn defect(&self) -> Option<&str> {
        self.value.as_ref().err().map(String::as_str)
    }

    /// The value; `None` for an operation that has none.
    pub(super) fn value(&self) -> Option<&Patch> {
        self.value.as_ref().ok()?.as_ref()
    }

    /// What merging the value does to lists; `None` if it is not merged.
    pub(super) fn merges(&self) -> Option<(&Patch, Lists)> {
        let lists = match self.patch.operation {
            PatchOperation::Merge(_) => Lists::Append,
            PatchOperation::MergeReplacingLists(_) => Lists::Replace,
            _ => return None,
        };
        Some((self.value()?, lists))
    }

    /// The patch named as what could not be applied.
    pub(super) fn fault(&self, message: &(dyn Error + 'static)) -> Fault {
        self.fault_because(chain(message))
    }

    /// The same with a reason of one's own.
    pub(super) fn fault_because(&self, message: String) -> Fault {
        Fault { object: self.origin.clone(), path: self.patch.path.clone(), message, cause: FaultCause::Misfit }
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
