//! What objects were before they changed: where a way back is looked for first.

use std::collections::{BTreeMap, VecDeque};

use super::form::Form;
use crate::model::ObjectRef;

/// So many earlier forms of an object are remembered: several changes may come before the first one is refused.
pub(super) const DEPTH: usize = 3;

/// Of so many objects at least the past is remembered, those that changed last. Bounds memory to a small part of what snapshots take.
const OBJECTS: usize = 1024;

/// The past of objects that changed.
#[derive(Debug, Default)]
pub(super) struct History {
    pasts: BTreeMap<ObjectRef, Past>,
    moment: u64,
}

#[derive(Debug, Default)]
struct Past {
    /// When the object changed last.
    changed: u64,
    /// What it was, the latest first.
    forms: VecDeque<Form>,
}

// === impl History ===

impl History {
    /// The object changes now, and was this before.
    pub(super) fn note(&mut self, object: &ObjectRef, before: Form) {
        self.moment += 1;
        let past = self.pasts.entry(object.clone()).or_default();
        past.changed = self.moment;
        if !before.is_absent() {
            past.forms.push_front(before);
            past.forms.truncate(DEPTH);
        }
        if self.pasts.len() > 2 * OBJECTS {
            let mut moments: Vec<u64> = self.pasts.values().map(|past| past.changed).collect();
            moments.sort_unstable();
            let oldest = moments[moments.len() - OBJECTS];
            self.pasts.retain(|_, past| past.changed >= oldest);
        }
    }

    /// The object is gone for good.
    pub(super) fn forget(&mut self, object: &ObjectRef) {
        self.pasts.remove(object);
    }

    /// Forgets a form and all that came after it.
    pub(super) fn rewind(&mut self, object: &ObjectRef, form: &Form) {
        let Some(past) = self.pasts.get_mut(object) else { return };
        let place = past.forms.iter().position(|known| known == form);
        past.forms.drain(..place.map_or(past.forms.len(), |place| place + 1));
    }

    /// When the object changed last; more is later, 0 is before anything that is remembered.
    pub(super) fn changed(&self, object: &ObjectRef) -> u64 {
        self.pasts.get(object).map_or(0, |past| past.changed)
    }

    /// What the object was, `depth` forms before the present one.
    pub(super) fn form(&self, object: &ObjectRef, depth: usize) -> Option<&Form> {
        self.pasts.get(object)?.forms.get(depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mesh::bookinfo;

    #[test]
    fn the_past_is_bounded() {
        let form = || Form::of_service(bookinfo().snapshot().services.values().next());
        let object = |n: usize| ObjectRef::new("VirtualService", "shop", &n.to_string());
        let mut history = History::default();
        for n in 0..10 * OBJECTS {
            history.note(&object(n), Form::default());
        }
        assert!(history.pasts.len() <= 2 * OBJECTS);
        let last = object(10 * OBJECTS - 1);
        assert!(history.changed(&last) > history.changed(&object(10 * OBJECTS - 2)));
        (0..100).for_each(|_| history.note(&last, form()));
        assert!(history.form(&last, DEPTH - 1).is_some() && history.form(&last, DEPTH).is_none());
    }
}
