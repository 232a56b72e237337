//! What can be wrong with an object, and how people are told.

use std::fmt;

/// Something in an object that its schema does not allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where, for example `spec.http[0].timeout`.
    pub path: String,
    /// What.
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum ProblemKind {
    /// The schema has no such field.
    UnknownField {
        /// The field's name.
        name: String,
        /// The known field that is spelled most like it.
        suggestion: Option<String>,
    },
    /// The value has another type.
    WrongType {
        /// The schema's type.
        expected: String,
        /// The value's type.
        found: &'static str,
    },
    /// The field must be there.
    Required,
    /// The value is not one of those that are allowed.
    NotAllowed {
        /// The value.
        value: String,
        /// Those that are allowed.
        allowed: Vec<String>,
        /// The allowed one that is spelled most like it.
        suggestion: Option<String>,
    },
    /// The number is too small or too great.
    OutOfRange {
        /// The number.
        value: f64,
        /// The least that is allowed.
        least: Option<f64>,
        /// The greatest that is allowed.
        most: Option<f64>,
    },
    /// The string, list or map has too few or too many elements.
    WrongSize {
        /// What is counted: `fields`, `elements` or `characters`.
        unit: &'static str,
        /// How many it has.
        count: usize,
        /// How many it must have.
        least: Option<usize>,
        /// How many it may have.
        most: Option<usize>,
    },
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for Problem {}

// === impl ProblemKind ===

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { name, suggestion } => {
                write!(f, "unknown field \"{name}\"")?;
                did_you_mean(f, suggestion.as_deref())
            }
            Self::WrongType { expected, found } => {
                write!(f, "must be of type {expected}, not {found}")?;
                // Who wrote 1.5, yes or on in YAML meant the text.
                let quotes = expected == "string" && matches!(*found, "number" | "boolean");
                f.write_str(if quotes { ": write it in quotes" } else { "" })
            }
            Self::Required => f.write_str("required"),
            Self::NotAllowed { value, allowed, suggestion } => {
                write!(f, "\"{value}\" is not one of {}", allowed.join(", "))?;
                did_you_mean(f, suggestion.as_deref())
            }
            Self::OutOfRange { value, least, most } => {
                write!(f, "{value} must be {}", bounds(least.as_ref(), most.as_ref()))
            }
            Self::WrongSize { unit, count, least, most } => {
                write!(f, "has {count} {unit}, must have {}", bounds(least.as_ref(), most.as_ref()))
            }
        }
    }
}

fn did_you_mean(f: &mut fmt::Formatter<'_>, suggestion: Option<&str>) -> fmt::Result {
    suggestion.map_or(Ok(()), |suggestion| write!(f, ", did you mean \"{suggestion}\"?"))
}

fn bounds<T: fmt::Display>(least: Option<&T>, most: Option<&T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "anything".to_owned(),
    }
}
