//! A persistent map from keys to sets of values: cloning it is free.

use std::hash::Hash;

use rpds::HashTrieMapSync;

use super::group::Group;

/// Sets of values by key. The values of a key come in their order.
#[derive(Clone, Debug)]
pub(super) struct Multimap<K: Eq + Hash, V: Ord> {
    groups: HashTrieMapSync<K, Group<V>>,
}

impl<K: Eq + Hash, V: Ord> Default for Multimap<K, V> {
    fn default() -> Self {
        Self { groups: HashTrieMapSync::new_sync() }
    }
}

impl<K: Eq + Hash + Clone, V: Ord + Clone> Multimap<K, V> {
    /// Puts a value under a key.
    pub(super) fn insert(&mut self, key: &K, value: V) {
        match self.groups.get_mut(key) {
            Some(values) => values.insert(value),
            None => self.groups.insert_mut(key.clone(), Group::One(value)),
        }
    }

    /// Takes a value from under a key, if it is there.
    pub(super) fn remove(&mut self, key: &K, value: &V) {
        let Some(values) = self.groups.get_mut(key) else { return };
        if values.remove(value) {
            self.groups.remove_mut(key);
        }
    }

    /// The values under a key.
    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &V> + use<'_, K, V> {
        self.groups.get(key).into_iter().flat_map(Group::iter)
    }

    /// The set of values under a key, if there are any.
    pub(super) fn group(&self, key: &K) -> Option<&Group<V>> {
        self.groups.get(key)
    }
}
