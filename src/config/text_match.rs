//! Texts of policies that may begin or end with `*`, and lists of values that must or must not match.

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::{TextMatch, Values};

// === impl Reading: values ===

impl Reading<'_> {
    /// A field and the one that negates it, each a list.
    pub(super) fn values<S, T>(
        &mut self,
        at: &At<'_>,
        [(any_field, any), (none_field, none)]: [(&str, &[S]); 2],
        read: impl Fn(&mut Self, &At<'_>, &S) -> Option<T>,
    ) -> Values<T> {
        let any_of = at.field(any_field).each(any, |at, one| read(self, at, one));
        let none_of = at.field(none_field).each(none, |at, one| read(self, at, one));
        Values { any_of: any_of.into_iter().flatten().collect(), none_of: none_of.into_iter().flatten().collect() }
    }

    /// A text that may begin or end with `*`.
    pub(super) fn text_match(&mut self, at: &At<'_>, text: &str) -> Option<TextMatch> {
        if text.is_empty() {
            self.error(at, Code::Required, "must not be empty: \"*\" stands for anything that is there");
            return None;
        }
        let (rest, parsed) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => ("", TextMatch::Present),
            (Some(end), _) => (end, TextMatch::Suffix(end.into())),
            (_, Some(beginning)) => (beginning, TextMatch::Prefix(beginning.into())),
            (None, None) => (text, TextMatch::Exact(text.into())),
        };
        if rest.contains('*') && !rest.contains('{') {
            let message =
                format!("{} has a '*' that is taken as it is: it is a wildcard only as the first or the last character", quoted(text));
            self.warn(at, Code::NoEffect, message);
        }
        Some(parsed)
    }

    /// A port as text; as in the API, a string.
    pub(super) fn port_text(&mut self, at: &At<'_>, text: &str) -> Option<u16> {
        let port = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        if port.is_none() {
            self.error(at, Code::OutOfRange, format!("{} is no port: it must be a number from 0 to 65535", quoted(text)));
        }
        port
    }
}
