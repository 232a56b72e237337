//! What a proxy wants to hear of, for one kind of resource.

use std::sync::Arc;

use super::names::{Names, SharedNames};
use crate::compile::{ResourceType, table_and_host};

/// Beyond so many names a subscription is refused: a mesh has a few thousand, and each name costs memory for as long as its stream lasts.
pub(super) const MAX_NAMES: usize = 100_000;

/// The name that stands for every resource.
const ALL: &str = "*";

/// Every resource, some by name, or both. Of virtual hosts a proxy that asks for any gets those of the tables that it has: there the names
/// are tables', and are added by who sends tables.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Whether the proxy has asked for the kind at all.
    asked: bool,
    by_table: bool,
    everything: bool,
    /// Shared with the compiled resources wherever these exist, and as a set with other proxies.
    names: Arc<Names>,
}

// === impl Subscription ===

impl Subscription {
    /// Before the proxy's first request for the kind.
    pub(super) fn none_yet(kind: ResourceType) -> Self {
        Self { asked: false, by_table: kind == ResourceType::VirtualHost, everything: false, names: Arc::default() }
    }

    /// The proxy asks for the kind. Returns whether it has not before.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.asked, true)
    }

    /// Whether the proxy has asked for the kind.
    pub(super) fn has_begun(&self) -> bool {
        self.asked
    }

    /// Makes these the names, if there are none yet and many are asked for: other proxies may have the same set. `shared` has the form of
    /// a name that is there already. Returns the set, or the names if they have to be added one by one.
    pub(super) fn begin_with(
        &mut self,
        names: Vec<String>,
        shared: impl Fn(&str) -> Option<Arc<str>>,
        sets: &SharedNames,
    ) -> Result<Arc<Names>, Vec<String>> {
        if !self.names.is_empty() || names.iter().any(|name| name == ALL) {
            return Err(names);
        }
        self.names = sets.of(names, shared)?;
        Ok(self.names.clone())
    }

    /// Adds a name, of which there may be a `shared` form already, and returns it; none for the name of everything.
    pub(super) fn add(&mut self, name: String, shared: Option<&Arc<str>>) -> Option<Arc<str>> {
        if name == ALL {
            self.everything = true;
            return None;
        }
        let name = shared.cloned().unwrap_or_else(|| name.into());
        // A set that is shared is not copied for a name that is in it.
        if !self.names.contains(&name) {
            Arc::make_mut(&mut self.names).insert(name.clone());
        }
        Some(name)
    }

    /// Takes names away.
    pub(super) fn remove(&mut self, names: &[String]) {
        for name in names {
            match name.as_str() {
                ALL => self.everything = false,
                name => _ = Arc::make_mut(&mut self.names).remove(name),
            }
        }
    }

    /// Subscribes to everything.
    pub(super) fn add_everything(&mut self) {
        self.everything = true;
    }

    /// Whether it is for everything.
    pub(super) fn is_everything(&self) -> bool {
        self.everything
    }

    /// Adds the hosts of a table.
    pub(super) fn add_table(&mut self, table: Arc<str>) {
        Arc::make_mut(&mut self.names).insert(table);
    }

    /// Takes the hosts of a table away. Returns whether they belonged to it.
    pub(super) fn remove_table(&mut self, table: &str) -> bool {
        self.names.contains(table) && Arc::make_mut(&mut self.names).remove(table)
    }

    /// The tables whose hosts belong to it, if it is for hosts.
    pub(super) fn tables(&self) -> Option<&Arc<Names>> {
        self.by_table.then_some(&self.names)
    }

    /// Whether a resource of that name belongs to it.
    pub(super) fn covers(&self, name: &str) -> bool {
        let named = match self.by_table {
            true => table_and_host(name).is_some_and(|(table, _)| self.names.contains(table)),
            false => self.names.contains(name),
        };
        self.asked && (self.everything || named)
    }

    /// Keeps its names where other proxies have the same ones.
    pub(super) fn share(&mut self, shared: &SharedNames) {
        shared.share(&mut self.names);
    }

    /// How many names it holds.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
