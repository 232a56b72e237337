//! What a proxy wants to hear of, for one kind of resource.

use std::{collections::BTreeSet, sync::Arc};

/// Beyond so many names a subscription is refused: a mesh has a few thousand, and each name costs memory for as long as its stream lasts.
pub(super) const MAX_NAMES: usize = 100_000;

/// The name that stands for every resource.
const ALL: &str = "*";

/// Every resource, some by name, or both.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    everything: bool,
    /// Shared with the compiled resources wherever these exist, because a thousand proxies subscribe to the same thousand names.
    names: BTreeSet<Arc<str>>,
}

// === impl Subscription ===

impl Subscription {
    /// Adds a name, of which there may be a `shared` form already, and returns it; none for the name of everything.
    pub(super) fn add(&mut self, name: String, shared: Option<&Arc<str>>) -> Option<Arc<str>> {
        if name == ALL {
            self.everything = true;
            return None;
        }
        let name = shared.cloned().unwrap_or_else(|| name.into());
        self.names.insert(name.clone());
        Some(name)
    }

    /// Takes names away.
    pub(super) fn remove(&mut self, names: &[String]) {
        for name in names {
            match name.as_str() {
                ALL => self.everything = false,
                name => _ = self.names.remove(name),
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

    /// Whether a resource of that name belongs to it.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.everything || self.names.contains(name)
    }

    /// How many names it holds.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
