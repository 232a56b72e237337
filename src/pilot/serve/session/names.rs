//! Sets of names, of which many proxies have the same ones.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use foldhash::fast::FixedState;

/// What a proxy subscribes to.
pub(super) type Names = BTreeSet<Arc<str>>;

/// Smaller sets are not worth looking for.
const WORTHWHILE: usize = 16;

/// Keeps equal sets in one place: a thousand proxies subscribe to the same thousand names, which would be a third of what a proxy costs.
/// Clones share everything.
#[derive(Clone, Debug, Default)]
pub(in crate::pilot) struct SharedNames(Arc<Mutex<Sets>>);

/// By the hash of their names.
type Sets = HashMap<u64, Weak<Names>, FixedState>;

// === impl SharedNames ===

impl SharedNames {
    /// The set of these names, which is made only if no other proxy has it; of a new one each name has the form that `shared` knows.
    ///
    /// # Errors
    /// With the names, if they are too few to be looked for.
    pub(super) fn of(&self, mut names: Vec<String>, shared: impl Fn(&str) -> Option<Arc<str>>) -> Result<Arc<Names>, Vec<String>> {
        if names.len() < WORTHWHILE {
            return Err(names);
        }
        // Proxies sort them: then this is one look at each.
        names.sort();
        names.dedup();
        let hash = hash_of(names.iter().map(String::as_str));
        let same = |set: &Arc<Names>| set.iter().map(|name| &**name).eq(names.iter().map(String::as_str));
        let mut known = self.known();
        if let Some(set) = known.get(&hash).and_then(Weak::upgrade).filter(same) {
            return Ok(set);
        }
        let mut set = Arc::new(names.into_iter().map(|name| shared(&name).unwrap_or_else(|| name.into())).collect());
        keep(&mut known, hash, &mut set);
        Ok(set)
    }

    /// Puts the set that another proxy has in the place of an equal one.
    pub(super) fn share(&self, names: &mut Arc<Names>) {
        if names.len() >= WORTHWHILE {
            let hash = hash_of(names.iter().map(|name| &**name));
            keep(&mut self.known(), hash, names);
        }
    }

    fn known(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(known: &mut Sets, hash: u64, names: &mut Arc<Names>) {
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

fn hash_of<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    names.for_each(|name| name.hash(&mut hasher));
    hasher.finish()
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
    fn a_set_that_another_proxy_asked_for_is_not_made_again() {
        let shared = SharedNames::default();
        let asked = |order: fn(usize) -> usize| (0..100).map(|number| format!("outbound|80||{}", order(number))).collect::<Vec<_>>();
        let mut one = names(100);
        shared.share(&mut one);
        let none = |_: &str| None;
        let orders: [fn(usize) -> usize; 3] = [|number| number, |number| 99 - number, |number| number / 2 * 2 + 1 - number % 2];
        for order in orders {
            assert!(Arc::ptr_eq(&one, &shared.of(asked(order), none).unwrap()));
        }
        let other = shared.of(asked(|number| number / 2), none).unwrap();
        assert_eq!(other.len(), 50);
        assert_eq!(shared.of(asked(|number| number).split_off(90), none).unwrap_err().len(), 10);
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
