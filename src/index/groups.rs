//! Sets under keys.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use foldhash::fast::RandomState;

/// Sets under keys; a set that becomes empty goes with its key.
#[derive(Debug)]
pub(super) struct Groups<K, V> {
    groups: HashMap<K, HashSet<V, RandomState>, RandomState>,
}

// === impl Groups ===

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self { groups: HashMap::default() }
    }
}

impl<K: Hash + Eq + Clone, V: Hash + Eq + Clone> Groups<K, V> {
    /// Puts a value into the set of a key.
    pub(super) fn insert(&mut self, key: &K, value: &V) {
        self.groups.entry(key.clone()).or_default().insert(value.clone());
    }

    /// Takes a value out of the set of a key.
    pub(super) fn remove(&mut self, key: &K, value: &V) {
        if let Some(group) = self.groups.get_mut(key) {
            group.remove(value);
            if group.is_empty() {
                self.groups.remove(key);
            }
        }
    }

    /// The set of a key, in no particular order.
    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &V> {
        self.groups.get(key).into_iter().flatten()
    }
}
