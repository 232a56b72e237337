//! Where in an object something stands: written out only when there is something to say about it.

use std::fmt;

use super::problem::clipped;

/// How much of a map's key a path shows.
const KEY: usize = 80;

/// A place in an object, as the steps that lead there.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

/// The object's metadata.
pub(super) const METADATA: At<'static> = At { parent: None, step: Step::Field("metadata") };
/// The object's spec, where almost every path begins.
pub(super) const SPEC: At<'static> = At { parent: None, step: Step::Field("spec") };

// === impl At ===

impl At<'_> {
    /// A field of it, by its JSON name.
    pub(super) fn field<'b>(&'b self, name: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Field(name) }
    }

    /// An entry of a map.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// An element of a list.
    pub(super) fn index(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    /// Reads the elements of the list that stands here, each at its place.
    pub(super) fn each<'l, T, U>(&self, list: &'l [T], mut read: impl FnMut(&At<'_>, &'l T) -> U) -> Vec<U> {
        list.iter().enumerate().map(|(index, one)| read(&self.index(index), one)).collect()
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(key) => write!(f, "[{}]", clipped(key, KEY)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
