//! Routes and conditions that never come to decide, because an earlier one takes all that they would take. Legal, so a warning.

use std::collections::BTreeMap;

use ferromesh_crds::networking::virtual_service::{HttpMatch, HttpRoute};

use crate::config::path::SPEC;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;

/// How much of a path is looked at; it bounds the cost of long ones.
const LOOKED_AT: usize = 256;

/// Warns of routes behind one that takes every request, and of paths behind a prefix of theirs.
pub(super) fn warn_of_unreachable(reading: &mut Reading<'_>, routes: &[HttpRoute]) {
    let at = SPEC.field("http");
    let mut prefixes: BTreeMap<&str, String> = BTreeMap::new();
    let mut takes_all: Option<usize> = None;
    for (index, route) in routes.iter().enumerate() {
        if let Some(first) = takes_all {
            let message = format!("never matches: spec.http[{first}] takes every path");
            reading.warn(&at.index(index), Code::UnreachableRule, message);
            continue;
        }
        if route.match_.is_empty() || route.match_.iter().any(|condition| *condition == named_only(condition)) {
            takes_all = Some(index);
        }
        for (position, condition) in route.match_.iter().enumerate() {
            let here = at.index(index);
            let here = here.field("match");
            let here = here.index(position);
            if let Some((prefix, earlier)) = path_of(condition).and_then(|path| covering(&prefixes, path)) {
                let message = format!("never decides: {earlier} takes the prefix {} already", quoted(prefix));
                reading.warn(&here, Code::IneffectiveMatch, message);
            }
            if let Some(prefix) = sole_prefix(condition) {
                prefixes.entry(prefix).or_insert_with(|| here.to_string());
            }
        }
    }
}

/// A condition that asks for nothing.
fn named_only(condition: &HttpMatch) -> HttpMatch {
    HttpMatch { name: condition.name.clone(), stat_prefix: condition.stat_prefix.clone(), ..HttpMatch::default() }
}

/// The prefix that is all that a condition asks for.
fn sole_prefix(condition: &HttpMatch) -> Option<&str> {
    let prefix = condition.uri.as_ref()?.prefix.as_deref()?;
    let bare = HttpMatch { uri: condition.uri.clone(), ..named_only(condition) };
    (*condition == bare && prefix.len() <= LOOKED_AT).then_some(prefix)
}

/// The beginning of the paths that a condition takes.
fn path_of(condition: &HttpMatch) -> Option<&str> {
    let uri = condition.uri.as_ref().filter(|_| condition.ignore_uri_case != Some(true))?;
    uri.prefix.as_deref().or(uri.exact.as_deref())
}

/// An earlier prefix of a path, and where it stands.
fn covering<'a>(prefixes: &'a BTreeMap<&'a str, String>, path: &str) -> Option<(&'a str, &'a str)> {
    if prefixes.is_empty() {
        return None;
    }
    let ends = path.char_indices().map(|(end, character)| end + character.len_utf8()).take_while(|end| *end <= LOOKED_AT);
    ends.filter_map(|end| prefixes.get_key_value(&path[..end])).map(|(prefix, place)| (*prefix, place.as_str())).next()
}
