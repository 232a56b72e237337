//! What becomes of pods that started without their redirect rules.

use std::{fmt, str::FromStr};

/// What the nodes' part does with a pod that it missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodRepair {
    /// It gets its rules where it is.
    #[default]
    Fix,
    /// It is deleted, for its controller to make another.
    Delete,
    /// It gets a label.
    Label,
    /// Nothing: it waits for a person.
    Off,
}

impl fmt::Display for PodRepair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fix => "fix",
            Self::Delete => "delete",
            Self::Label => "label",
            Self::Off => "off",
        })
    }
}

impl FromStr for PodRepair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fix" => Ok(Self::Fix),
            "delete" => Ok(Self::Delete),
            "label" => Ok(Self::Label),
            "off" => Ok(Self::Off),
            other => Err(format!("{other:?} is no way to mend pods: use fix, delete, label or off")),
        }
    }
}
