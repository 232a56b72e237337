//! What was left out of a resource because it can't be applied, or because what it needs is missing.

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
    /// What kind of a fault it is.
    pub cause: FaultCause,
}

/// Why a part was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultCause {
    /// It does not fit what it is to be applied to.
    Misfit,
    /// A Secret that it names is missing, or of no use. By this name proxies ask for it.
    Secret(Arc<str>),
}
