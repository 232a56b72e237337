//! Equal values, kept once.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use foldhash::fast::RandomState;

/// Values that are handed out as one for as long as somebody has them.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>, RandomState>,
    /// How many values there may be before those that nobody has are looked for.
    limit: usize,
}

/// Fewer values than that are not worth the search.
const FEW: usize = 64;

// === impl Shared ===

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { values: HashSet::default(), limit: FEW }
    }
}

impl<T: Hash + Eq + ?Sized> Shared<T> {
    /// The one that is equal to `value`; what `make` returns if there is none yet.
    pub(super) fn one(&mut self, value: &T, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(value) {
            return known.clone();
        }
        let value = make();
        if self.values.len() >= self.limit {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.limit = FEW.max(self.values.len() * 2);
        }
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_has_is_forgotten() {
        let mut shared = Shared::<str>::default();
        let kept = shared.one("kept", || "kept".into());
        for number in 0..1000 {
            shared.one(&number.to_string(), || number.to_string().into());
        }
        assert!(shared.values.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &shared.one("kept", || unreachable!())));
    }
}
