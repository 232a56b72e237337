//! Stored objects that are not understood: left out of the mesh, and told.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::config::Invalid;
use crate::model::ObjectRef;

/// A stored object that is not understood, because it was stored past the webhook or by another version.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The generation of the object that was looked at.
    pub generation: Option<i64>,
    /// What is wrong with it.
    pub reason: Invalid,
}

/// Objects that are not understood, by name. Cheap to clone.
pub type RejectedObjects = RedBlackTreeMapSync<ObjectRef, Arc<Rejected>>;

/// Notes what became of an object; whether that is news. News is logged, once.
pub(super) fn note(table: &mut RejectedObjects, object: &ObjectRef, rejected: Option<Rejected>) -> bool {
    let old = table.get(object);
    match rejected {
        Some(rejected) => {
            let told = old.is_some_and(|old| old.reason == rejected.reason);
            if !told {
                tracing::warn!(%object, reason = %rejected.reason, "object not understood: it has no effect");
            }
            let news = old.is_none_or(|old| **old != rejected);
            if news {
                table.insert_mut(object.clone(), Arc::new(rejected));
            }
            news
        }
        None if old.is_some() => {
            tracing::info!(%object, "object understood again, or gone");
            table.remove_mut(object)
        }
        None => false,
    }
}
