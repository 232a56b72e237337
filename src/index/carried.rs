//! Objects of the configuration as they are passed on: the state that galley distributes.

use std::{collections::BTreeMap, sync::Arc};

use rpds::HashTrieMapSync;

use crate::mcp::Carried;
use crate::model::ObjectRef;

/// All objects. Cheap to clone; one clone is one state of all kinds.
#[derive(Clone, Debug)]
pub struct CarriedObjects {
    version: u64,
    kinds: BTreeMap<&'static str, CarriedKind>,
}

/// All objects of a kind. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CarriedKind {
    /// The state in which an object of this kind changed last.
    pub version: u64,
    /// The objects, by the names under which they travel.
    pub objects: HashTrieMapSync<Arc<str>, Arc<Carried>>,
}

// === impl CarriedObjects ===

impl Default for CarriedObjects {
    /// None. Counted from one, so that even that is news to who knows nothing.
    fn default() -> Self {
        Self { version: 1, kinds: BTreeMap::new() }
    }
}

impl CarriedObjects {
    /// Counts states; an equal version of the same process is an equal state.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All objects of a kind.
    pub fn of(&self, kind: &str) -> CarriedKind {
        self.kinds.get(kind).cloned().unwrap_or_default()
    }

    /// Notes what an object is passed on as; `None` if it isn't there, or isn't passed on.
    pub(crate) fn set(&mut self, object: &ObjectRef, carried: Option<Arc<Carried>>) {
        let known = self.kinds.get(object.kind);
        let name = match &carried {
            Some(carried) => carried.name.clone(),
            None if known.is_none() => return,
            None => name_of(object),
        };
        let old = known.and_then(|kind| kind.objects.get(&name)).map(|old| &old.version);
        if old == carried.as_ref().map(|carried| &carried.version) {
            return;
        }
        self.version += 1;
        let kind = self.kinds.entry(object.kind).or_default();
        kind.version = self.version;
        match carried {
            Some(carried) => kind.objects.insert_mut(name, carried),
            None => _ = kind.objects.remove_mut(&name),
        }
    }
}

/// The name under which an object travels.
fn name_of(object: &ObjectRef) -> Arc<str> {
    match &*object.namespace {
        "" => object.name.clone(),
        namespace => format!("{namespace}/{}", object.name).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_counts_what_changed_and_nothing_else() {
        let carried = |spec: u8| Some(Arc::new(Carried::of(&json!({"metadata": {"namespace": "shop", "name": "a"}, "spec": spec}))));
        let a = ObjectRef::new("Gateway", "shop", "a");
        let mut objects = CarriedObjects::default();
        objects.set(&a, None);
        assert_eq!(objects.version(), 1);
        objects.set(&a, carried(1));
        objects.set(&a, carried(1));
        let before = objects.clone();
        assert_eq!((before.version(), before.of("Gateway").version, before.of("Sidecar").version), (2, 2, 0));
        objects.set(&a, carried(2));
        objects.set(&a, None);
        objects.set(&a, None);
        assert_eq!((objects.version(), objects.of("Gateway").objects.size()), (4, 0));
        assert_eq!(before.of("Gateway").objects.size(), 1, "a state stays as it is");
    }
}
