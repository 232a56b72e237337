//! What a watch has told so far.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;

/// What is kept of the objects of a watch, by key.
#[derive(Debug)]
pub(super) struct Known<K, V> {
    objects: BTreeMap<K, V>,
    /// A list that is not complete yet: until it is, the objects from before hold.
    listed: BTreeMap<K, V>,
    complete: bool,
}

// === impl Known ===

impl<K: Ord, V> Default for Known<K, V> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listed: BTreeMap::new(), complete: false }
    }
}

impl<K: Ord, V> Known<K, V> {
    /// Takes an event. Of an object is kept what `read` makes of it, under its `key`; where that is nothing, the object counts as gone.
    ///
    /// Returns whether there is something to publish: not before the first list is complete.
    pub(super) fn take<O>(&mut self, event: Event<O>, key: impl Fn(&O) -> K, read: impl Fn(&O) -> Option<V>) -> bool {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => put(&mut self.listed, key(&object), read(&object)),
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listed);
                self.complete = true;
                return true;
            }
            Event::Apply(object) => {
                put(&mut self.objects, key(&object), read(&object));
                return self.complete;
            }
            Event::Delete(object) => {
                self.objects.remove(&key(&object));
                return self.complete;
            }
        }
        false
    }

    /// What is known now.
    pub(super) fn objects(&self) -> &BTreeMap<K, V> {
        &self.objects
    }
}

fn put<K: Ord, V>(objects: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => _ = objects.insert(key, value),
        None => _ = objects.remove(&key),
    }
}
