//! What was left out of a resource because it can't be applied.

use std::sync::Arc;

use crate::model::ObjectRef;

/// A part of an object that the compiler left out. Everything else of the object, and of the mesh, went on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The object.
    pub object: ObjectRef,
    /// The path of the field, from the object's root.
    pub path: Arc<str>,
    /// What is wrong, and what to do where that is known.
    pub message: String,
}
