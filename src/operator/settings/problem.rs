//! What is wrong with a MeshInstall, and how its author is told.

use std::fmt;

use crate::config;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Problem {
    /// The field, as in `spec.components.pilot.replicas`.
    pub(in crate::operator) path: String,
    /// What is wrong with it, and what to do.
    pub(in crate::operator) reason: String,
}

/// All that is wrong with one object; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Problems(pub(in crate::operator) Vec<Problem>);

/// A field that is being read: what is wrong with it or below it is noted with its path.
pub(super) struct Field<'a> {
    path: String,
    problems: &'a mut Vec<Problem>,
}

// === impl Problem ===

impl Problem {
    pub(in crate::operator) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl From<Problem> for config::Problem {
    fn from(Problem { path, reason }: Problem) -> Self {
        Self { path, message: reason, code: config::Code::BrokenRule }
    }
}

// === impl Field ===

impl<'a> Field<'a> {
    pub(super) fn new(path: impl Into<String>, problems: &'a mut Vec<Problem>) -> Self {
        Self { path: path.into(), problems }
    }

    /// A field of this one.
    pub(super) fn at(&mut self, name: impl fmt::Display) -> Field<'_> {
        Field { path: format!("{}.{name}", self.path), problems: self.problems }
    }

    /// An item of this list, or an entry of this map.
    pub(super) fn item(&mut self, key: impl fmt::Display) -> Field<'_> {
        Field { path: format!("{}[{key}]", self.path), problems: self.problems }
    }

    pub(super) fn wrong(&mut self, reason: impl Into<String>) {
        self.problems.push(Problem::new(self.path.clone(), reason));
    }
}

// === impl Problems ===

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
