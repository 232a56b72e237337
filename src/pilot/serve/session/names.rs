//! Sets of names, of which many proxies have the same ones.

use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasher,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use foldhash::fast::FixedState;

/// What a proxy subscribes to.
pub(super) type Names = BTreeSet<Arc<str>>;

/// Smaller sets are not worth looking for.
const WORTHWHILE: usize = 16;

/// Keeps equal sets in one place: a thousand proxies subscribe to the same thousand names, which would be a third of what a proxy costs.
/// Clones share everything.
#[derive(Clone, Debug, Default)]
pub(in crate::pilot) struct SharedNames(Arc<Mutex<HashMap<u64, Weak<Names>, FixedState>>>);

// === impl SharedNames ===

impl SharedNames {
    /// Puts the set that another proxy has in the place of an equal one.
    pub(super) fn share(&self, names: &mut Arc<Names>) {
        if names.len() < WORTHWHILE {
            return;
        }
        let hash = FixedState::default().hash_one(&**names);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&hash).and_then(Weak::upgrade) {
            Some(other) if other == *names => *names = other,
            // Another set of the same hash: this one stays a proxy's own.
            Some(_) => {}
            None => {
                known.retain(|_, set| set.strong_count() > 0);
                known.insert(hash, Arc::downgrade(names));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Arc<Names> {
        Arc::new((0..count).map(|number| format!("outbound|80||{number}").into()).collect())
    }

    #[test]
    fn equal_sets_become_one_and_others_stay() {
        let shared = SharedNames::default();
        let [mut one, mut two, mut other, mut few] = [names(100), names(100), names(99), names(3)];
        for set in [&mut one, &mut two, &mut other, &mut few] {
            shared.share(set);
        }
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
        assert_eq!((one.len(), other.len(), few.len()), (100, 99, 3));
    }

    #[test]
    fn nothing_is_kept_of_sets_that_nobody_has() {
        let shared = SharedNames::default();
        let mut gone = names(100);
        shared.share(&mut gone);
        drop(gone);
        let mut next = names(50);
        shared.share(&mut next);
        assert_eq!(shared.0.lock().unwrap().len(), 1);
    }
}
