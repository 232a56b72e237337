//! Texts as protobuf has them: an empty one is the same as none.

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use std::sync::Arc;

/// The text, if it says anything.
pub(super) fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Whether a text is there and says anything.
pub(super) fn given(text: &Option<String>) -> bool {
    filled(text).is_some()
}

/// The text as the model keeps it, if it says anything.
pub(super) fn shared(text: &Option<String>) -> Option<Arc<str>> {
    filled(text).map(Into::into)
}

/// Whether a text is a header's name: one or more of the characters that RFC 9110 calls a token.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

// === impl Reading: texts ===

impl Reading<'_> {
    /// The name of a header.
    pub(super) fn header_name(&mut self, at: &At<'_>, name: &str) -> Arc<str> {
        if name.is_empty() {
            self.required(at);
        } else if !is_header_name(name) {
            self.error(at, Code::BadHeader, format!("{} is no name of a header", quoted(name)));
        }
        name.into()
    }

    /// Texts none of which may be empty.
    pub(super) fn filled_texts(&mut self, at: &At<'_>, texts: &[String]) -> Vec<Arc<str>> {
        at.each(texts, |at, text| {
            if text.is_empty() {
                self.error(at, Code::Required, "must not be empty");
            }
            text.as_str().into()
        })
    }

    /// Notes that fields exclude each other, if more than one is there, and names those that are. Returns how many there are.
    pub(super) fn at_most_one<const N: usize>(&mut self, at: &At<'_>, fields: [(&str, bool); N]) -> usize {
        let names: Vec<&str> = fields.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect();
        if let [first @ .., last] = names.as_slice()
            && !first.is_empty()
        {
            self.error(at, Code::Conflict, format!("{} and {last} exclude each other", first.join(", ")));
        }
        names.len()
    }
}
