//! What is found, and what was not looked for.

use std::fmt;

use super::{Code, Level};
use crate::model::ObjectRef;

/// Something doubtful about one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is: the level of its code.
    pub level: Level,
    /// What kind of finding it is.
    pub code: Code,
    /// The object that it is about. One that concerns several objects is told of each.
    pub object: ObjectRef,
    /// The field that it is about, for example `spec.http[0].route[1].destination.host`; empty for the object as a whole.
    pub path: String,
    /// What, in lower case, with the offending value, without path and code.
    pub message: String,
    /// Further objects that take part in it, a few at most.
    pub others: Vec<ObjectRef>,
}

/// A check that was left out, because what it needs is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// What would have been looked for.
    pub code: Code,
    /// What is not known, for example `pods`.
    pub unknown: &'static str,
}

// === impl Finding ===

impl Finding {
    /// A finding about a field of an object.
    pub(super) fn new(code: Code, object: &ObjectRef, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: code.level(), code, object: object.clone(), path: path.into(), message: message.into(), others: Vec::new() }
    }

    /// The same with the objects that take part in it.
    pub(super) fn with(mut self, others: impl IntoIterator<Item = ObjectRef>) -> Self {
        self.others.extend(others);
        self
    }

    /// What an admission's warning says, whose object is known: `spec.gateways[0]: there is no Gateway shop/front (IST0101)`.
    pub fn without_object(&self) -> String {
        match self.path.as_str() {
            "" => format!("{} ({})", self.message, self.code),
            path => format!("{path}: {} ({})", self.message, self.code),
        }
    }
}

/// `Error [IST0101] VirtualService shop/reviews: spec.gateways[0]: there is no Gateway shop/front`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}: ", self.level, self.code, self.object)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
