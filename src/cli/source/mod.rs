//! YAML and JSON texts as trees in which every key and value knows its place.
//!
//! [`read`] takes the text of a file and returns its documents, as kubectl would understand them, and all that is wrong with the text.
//! [`Node::locate`] finds the place of a field's path. What a text may cost is bounded: the parser bounds depth, [`MOST_NODES`] the size
//! to which aliases blow a text up.

mod locate;
mod read;
mod scalar;

#[cfg(test)]
mod tests;

pub(super) use read::{TextProblem, read};

use serde_json::{Map, Value};

/// How many values a file may have once its aliases are replaced.
const MOST_NODES: usize = 2_000_000;

/// A stretch of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Counted from 1.
    pub(super) line: usize,
    /// Of characters, counted from 1.
    pub(super) column: usize,
    /// Where it starts, in bytes.
    pub(super) start: usize,
    /// Where it ends, in bytes; the first byte behind it.
    pub(super) end: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// How many values it is, itself among them.
    size: usize,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// A text, number, boolean or null.
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    /// Where the key stands.
    pub(super) place: Place,
    pub(super) value: Node,
}

// === impl Node ===

impl Node {
    fn new(place: Place, content: Content) -> Self {
        let inside: usize = match &content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(|item| item.size).sum(),
            Content::Map(fields) => fields.iter().map(|field| field.value.size).sum(),
        };
        Self { place, content, size: inside + 1 }
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(fields) => fields.iter().find(|field| field.name == name).map(|field| &field.value),
            _ => None,
        }
    }

    /// The text of a key, if it is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null, as an empty document is.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// The value without its places.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Content::Map(fields) => {
                Value::Object(fields.iter().map(|field| (field.name.clone(), field.value.to_value())).collect::<Map<_, _>>())
            }
        }
    }
}
