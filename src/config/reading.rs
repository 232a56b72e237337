//! One object while it is read: whose it is, and what was found so far.

use kube::core::ObjectMeta;
use std::collections::BTreeSet;

use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, Problem};
use crate::model::ObjectRef;

/// How many errors, and how many warnings, of one object are kept; the rest are counted. It bounds what a hostile object costs.
pub(super) const KEPT: usize = 100;

/// A list without room for more: ten thousand objects are kept for long, and a list grows by more than it needs.
pub(super) fn fitted<T>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.into_iter().collect();
    list.shrink_to_fit();
    list
}

/// What the meaning of an object depends on beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseContext {
    /// The DNS domain of the cluster, under which short host names are looked for.
    pub cluster_domain: String,
    /// The namespace of objects that name none.
    pub default_namespace: String,
}

/// An object while it is read. Every value that is read through it is noted if it is wrong; the value that a reader goes on with then
/// matters no more, because an object with an error is never handed out.
pub(super) struct Reading<'a> {
    pub(super) origin: ObjectRef,
    pub(super) created: i64,
    pub(super) context: &'a ParseContext,
    errors: Vec<Problem>,
    more: usize,
    warnings: Vec<Problem>,
    /// What regular expressions of this object may still cost.
    pub(super) regex_budget: usize,
}

// === impl ParseContext ===

impl Default for ParseContext {
    fn default() -> Self {
        Self { cluster_domain: "cluster.local".to_owned(), default_namespace: "default".to_owned() }
    }
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// Begins to read an object.
    pub(super) fn new(kind: &'static str, metadata: &ObjectMeta, context: &'a ParseContext) -> Self {
        let namespace = metadata.namespace.as_deref().unwrap_or(&context.default_namespace);
        let name = metadata.name.as_deref().or(metadata.generate_name.as_deref()).unwrap_or_default();
        Self {
            origin: ObjectRef::new(kind, namespace, name),
            created: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            context,
            errors: Vec::new(),
            more: 0,
            warnings: Vec::new(),
            regex_budget: super::regex::BUDGET,
        }
    }

    /// Begins to read an object of a kind without namespaces. One that is in a file may name some; it has no meaning.
    pub(super) fn cluster_scoped(kind: &'static str, metadata: &ObjectMeta, context: &'a ParseContext) -> Self {
        let reading = Self::new(kind, metadata, context);
        let origin = ObjectRef::new(kind, "", &reading.origin.name);
        Self { origin, ..reading }
    }

    /// The object's namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.origin.namespace
    }

    /// Notes that something is wrong.
    pub(super) fn error(&mut self, at: &At<'_>, code: Code, message: impl Into<String>) {
        if self.errors.len() < KEPT {
            self.errors.push(Problem { path: at.to_string(), message: message.into(), code });
        } else {
            self.more += 1;
        }
    }

    /// Notes that something is doubtful.
    pub(super) fn warn(&mut self, at: &At<'_>, code: Code, message: impl Into<String>) {
        if self.warnings.len() < KEPT {
            self.warnings.push(Problem { path: at.to_string(), message: message.into(), code });
        }
    }

    /// Notes that a field must be there.
    pub(super) fn required(&mut self, at: &At<'_>) {
        self.error(at, Code::Required, "required");
    }

    /// Warns of a field that the API has and the mesh does not act on, if it is there.
    pub(super) fn not_honoured(&mut self, at: &At<'_>, name: &str, present: bool) {
        if present {
            self.warn(&at.field(name), Code::NotHonoured, "this mesh does not act on it");
        }
    }

    /// Warns that the mesh does not act on objects of this kind yet, and what follows from that.
    pub(super) fn not_honoured_kind(&mut self, consequence: &str) {
        let message = format!("this mesh does not act on a {} yet: {consequence}", self.origin.kind);
        self.warn(&SPEC, Code::NotHonoured, message);
    }

    /// Warns that a kind has a successor, and that the mesh does not act on its objects yet.
    pub(super) fn deprecated_kind(&mut self, successor: &str, consequence: &str) {
        self.warn(&SPEC, Code::Deprecated, format!("{} is deprecated: use {successor}", self.origin.kind));
        self.not_honoured_kind(consequence);
    }

    /// Warns of a field that has a successor, if it is there.
    pub(super) fn deprecated(&mut self, at: &At<'_>, name: &str, present: bool, successor: &str) {
        if present {
            self.warn(&at.field(name), Code::Deprecated, format!("deprecated: use {successor}"));
        }
    }

    /// Reports elements that occur more than once, each once.
    pub(super) fn distinct<'v, T: Ord>(&mut self, values: impl Iterator<Item = (At<'v>, T)>, describe: impl Fn(&T) -> String) {
        let mut seen = BTreeSet::new();
        for (at, value) in values {
            let message = describe(&value);
            if !seen.insert(value) {
                self.error(&at, Code::Duplicate, message);
            }
        }
    }

    /// Hands out the value, or what is wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<Parsed<T>, Invalid> {
        match self.errors.is_empty() {
            true => Ok(Parsed { value, warnings: self.warnings }),
            false => Err(Invalid { errors: self.errors, more: self.more }),
        }
    }
}
