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

// === impl Problems ===

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
