//! What is to be known of a stored object to write its status, for who may not ask the API server for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ferromesh_crds::status::MeshCondition;
use foldhash::fast::RandomState;
use serde::Deserialize;
use serde_json::Value;

use super::verdict::PROGRAMMED;
use crate::model::ObjectRef;

/// One stored object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Which object of that name.
    pub uid: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// The condition that tells whether proxies take it.
    pub programmed: Option<MeshCondition>,
}

/// All stored objects, as far as they have been taken in. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    objects: Arc<Mutex<HashMap<ObjectRef, Standing, RandomState>>>,
}

// === impl Standing ===

impl Standing {
    /// Reads it from an object, as the API server has it.
    pub fn of(object: &Value) -> Self {
        let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let programmed = conditions.iter().find(|condition| condition["type"] == PROGRAMMED);
        Self {
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: object["metadata"]["generation"].as_i64(),
            programmed: programmed.and_then(|condition| MeshCondition::deserialize(condition).ok()),
        }
    }
}

// === impl Standings ===

impl Standings {
    /// One object; none if there is none.
    pub fn of(&self, object: &ObjectRef) -> Option<Standing> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(object).cloned()
    }

    /// Notes what changed.
    pub(crate) fn note(&self, news: impl IntoIterator<Item = (ObjectRef, Option<Standing>)>) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for (object, standing) in news {
            match standing {
                Some(standing) => _ = objects.insert(object, standing),
                None => _ = objects.remove(&object),
            }
        }
    }
}
