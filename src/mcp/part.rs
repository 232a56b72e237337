//! What makes one whole of several responses.
//!
//! A state of the configuration, or what leads to the next one, takes several responses: each is of one kind, and of a bounded size. Their
//! nonces say which set they belong to, which part of it each one is, and how many there are. Until the last one is in, nothing of the set
//! holds. Sets follow each other on a stream, and parts in a set, without gaps.

use std::{fmt, str::FromStr};

/// A response's place in its set. As a nonce it is `SET/NUMBER/OF`, and so no two responses of a stream have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The set, counted from 1 on each stream.
    pub set: u64,
    /// The part, from 1.
    pub number: usize,
    /// How many parts the set has.
    pub of: usize,
}

/// Why a nonce is no part's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not of the form SET/NUMBER/OF")]
pub struct PartError(String);

// === impl Part ===

impl Part {
    /// Whether the set is whole with this part.
    pub fn is_last(self) -> bool {
        self.number == self.of
    }

    /// Whether this part may come after `last`.
    pub(super) fn follows(self, last: Option<Self>) -> bool {
        match last {
            Some(last) if !last.is_last() => self == Self { number: last.number + 1, ..last },
            Some(last) => self.number == 1 && self.set == last.set + 1,
            None => self.number == 1,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.set, self.number, self.of)
    }
}

impl FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PartError(text.chars().take(100).collect());
        let mut fields = text.split('/');
        let (Some(set), Some(number), Some(of), None) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
            return Err(error());
        };
        let part = Self {
            set: set.parse().map_err(|_| error())?,
            number: number.parse().map_err(|_| error())?,
            of: of.parse().map_err(|_| error())?,
        };
        if (1..=part.of).contains(&part.number) { Ok(part) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_reads_back_as_it_was_written_and_other_texts_do_not() {
        let part = Part { set: 7, number: 2, of: 3 };
        assert_eq!(part.to_string().parse(), Ok(part));
        for text in ["", "7", "7/2", "7/2/3/4", "7/0/3", "7/4/3", "a/1/1", "-1/1/1"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        let part = |set, number, of| Part { set, number, of };
        assert!(part(5, 1, 2).follows(None) && part(5, 2, 2).follows(Some(part(5, 1, 2))) && part(6, 1, 1).follows(Some(part(5, 2, 2))));
        for (next, last) in [
            (part(5, 2, 2), None),
            (part(5, 3, 3), Some(part(5, 1, 3))),
            (part(5, 2, 4), Some(part(5, 1, 3))),
            (part(6, 1, 1), Some(part(5, 1, 3))),
            (part(7, 1, 1), Some(part(5, 3, 3))),
            (part(6, 2, 2), Some(part(5, 3, 3))),
        ] {
            assert!(!next.follows(last), "{next} after {last:?}");
        }
    }
}
