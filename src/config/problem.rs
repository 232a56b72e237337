//! What is wrong with an object, or doubtful, and how people are told. docs/codes.md explains every [`Code`] to them.

use std::fmt;

/// How many problems one line tells; the rest are counted.
const TOLD: usize = 20;

/// Something that is wrong, or doubtful, at one place of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, for example `spec.http[2].route[0].weight`; empty for the object as a whole.
    pub path: String,
    /// What, in lower case, with the offending value.
    pub message: String,
    /// The code under which docs/codes.md explains it.
    pub code: Code,
}

/// A value that was understood, and what is doubtful about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value.
    pub value: T,
    /// Legal, but probably not what was meant.
    pub warnings: Vec<Problem>,
}

/// An object that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, in the order of the check; never empty.
    pub errors: Vec<Problem>,
    /// How many more errors there are, beyond those that are worth listing.
    pub more: usize,
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, )+) => {
        /// The kinds of problems, each with a row in docs/codes.md. A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[$doc])* $name, )+ }

        impl Code {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[ $( Self::$name, )+ ];

            /// What the code is about, in one word.
            pub fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )+ }
            }

            /// The code as people see it, for example `FM0112`.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $code, )+ }
            }
        }
    };
}

codes! {
    /// The text or object can't be read at all.
    Unreadable = "FM0101",
    /// The value has another type.
    WrongType = "FM0102",
    /// Something that must be there is not.
    Required = "FM0103",
    /// There is no such field.
    UnknownField = "FM0104",
    /// The value is not one of those that are allowed.
    NotAllowed = "FM0105",
    /// The number is too small or too great.
    OutOfRange = "FM0106",
    /// There are too few or too many elements.
    WrongSize = "FM0107",
    /// Fields exclude each other.
    Conflict = "FM0108",
    /// The same thing is said twice.
    Duplicate = "FM0109",
    /// A host is no DNS name.
    BadHost = "FM0110",
    /// A name of a namespace, gateway or subset is malformed.
    BadName = "FM0111",
    /// Weights don't add up.
    BadWeights = "FM0112",
    /// A duration is malformed, too short or too fine.
    BadDuration = "FM0113",
    /// A regular expression is malformed or too costly.
    BadRegex = "FM0114",
    /// A header's name or value is malformed.
    BadHeader = "FM0115",
    /// An address or range is malformed.
    BadAddress = "FM0116",
    /// A label is malformed.
    BadLabel = "FM0117",
    /// The API has no such kind.
    UnknownKind = "FM0118",
    /// A rule of the kind's schema does not hold, or one that the operator has.
    BrokenRule = "FM0119",
    /// The field is understood by the API but not acted on by this mesh.
    NotHonoured = "FM0120",
    /// There is a newer field for the same thing.
    Deprecated = "FM0121",
    /// What is written changes nothing.
    NoEffect = "FM0122",
    /// It works only as long as something else stays as it is.
    Fragile = "FM0125",
    /// What is written is legal and riskier than it looks.
    Risky = "FM0126",
    /// A rule is never reached: an earlier one takes everything. The code is Istio's.
    UnreachableRule = "IST0130",
    /// A condition is never reached: an earlier one covers it. The code is Istio's.
    IneffectiveMatch = "IST0131",
    /// A ServiceEntry has a port whose traffic nothing but an address could tell apart, and no address. The code is Istio's.
    AddressesRequired = "IST0134",
}

// === impl Problem ===

/// One line: `spec.http[0].route: weights add up to 90, not 100 (FM0112)`. What is said of reach has the place as its subject:
/// `spec.http[1] never matches: spec.http[0] takes every path (IST0130)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about_reach = matches!(self.code, Code::UnreachableRule | Code::IneffectiveMatch);
        match (self.path.as_str(), about_reach) {
            ("", _) => {}
            (path, true) => write!(f, "{path} ")?,
            (path, false) => write!(f, "{path}: ")?,
        }
        write!(f, "{} ({})", self.message, self.code)
    }
}

// === impl Code ===

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Invalid ===

/// One line with all of the problems.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.errors.iter().take(TOLD).enumerate() {
            f.write_str(if position == 0 { "" } else { "; " })?;
            problem.fmt(f)?;
        }
        match self.errors.len().saturating_sub(TOLD) + self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Invalid {}

/// A value as messages show it: quoted, with control characters escaped, and shortened.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A text of which no more than `most` characters are kept.
pub fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained() {
        let page = include_str!("../../docs/codes.md");
        let missing: Vec<_> = Code::ALL.iter().filter(|code| !page.contains(&format!("\n| {code} |"))).collect();
        assert!(missing.is_empty(), "docs/codes.md has no row for {missing:?}");
    }
}
