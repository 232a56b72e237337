//! From the path of a field to its place.

use super::{Content, Field, Node, Place};

/// What is known of the place of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Located {
    /// The key, or nothing for elements of lists and the object as a whole.
    key: Option<Place>,
    value: Place,
    /// Whether the value is one that can be underlined: no list, no object.
    scalar: bool,
    /// Whether the path was followed to its end; otherwise this is the part that is there.
    whole: bool,
}

// === impl Node ===

impl Node {
    /// The place of a path such as `spec.http[0].match[1].headers[end-user].exact`, or of as much of it as there is.
    ///
    /// Keys may hold dots and brackets. Where a path can be read in several ways, the longest key wins.
    pub(in crate::cli) fn locate(&self, path: &str) -> Located {
        let mut at = Step { key: None, node: self, rest: path };
        while !at.rest.is_empty()
            && let Some(next) = at.next()
        {
            at = next;
        }
        let scalar = matches!(at.node.content, Content::Scalar(_));
        Located { key: at.key, value: at.node.place, scalar, whole: at.rest.is_empty() }
    }
}

/// Where following a path has come to.
struct Step<'n, 'p> {
    key: Option<Place>,
    node: &'n Node,
    rest: &'p str,
}

// === impl Step ===

impl<'n, 'p> Step<'n, 'p> {
    fn next(&self) -> Option<Self> {
        match &self.node.content {
            Content::Scalar(_) => None,
            Content::List(items) => {
                let (index, rest) = self.rest.strip_prefix('[')?.split_once(']')?;
                let node = items.get(index.parse::<usize>().ok()?)?;
                Some(Self { key: None, node, rest })
            }
            Content::Map(fields) => {
                let behind = |field: &'n Field| Self::behind(self.rest, &field.name).map(|rest| (field, rest));
                let (field, rest) = fields.iter().filter_map(behind).min_by_key(|(_, rest)| rest.len())?;
                Some(Self { key: Some(field.place), node: &field.value, rest })
            }
        }
    }

    /// What of a path is left behind a key, if the path begins with it.
    fn behind(path: &'p str, key: &str) -> Option<&'p str> {
        let in_brackets = path.strip_prefix('[').and_then(|path| path.strip_prefix(key)).and_then(|path| path.strip_prefix(']'));
        in_brackets.or_else(|| {
            let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
        })
    }
}

// === impl Located ===

impl Located {
    /// Whether all of the path is there.
    pub(in crate::cli) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The place to point at when the field itself is at fault: its key.
    pub(in crate::cli) fn field(&self) -> Place {
        self.key.unwrap_or(self.value)
    }

    /// The place to point at when the value is at fault: the value, unless that is a list or an object, which are named by their key.
    /// Where something is missing, it is what should have it.
    pub(in crate::cli) fn culprit(&self) -> Place {
        if self.whole && self.scalar { self.value } else { self.field() }
    }
}
