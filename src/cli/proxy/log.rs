//! Envoy's log levels, read and set.

use std::str::FromStr;

/// A level for one logger, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    logger: Option<String>,
    level: String,
}

/// The levels that Envoy knows.
const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];
/// The level of a proxy of which nobody asked for another.
pub(super) const DEFAULT: &str = "warning";

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (logger, level) = match text.split_once([':', '=']) {
            Some((logger, level)) => (Some(logger.to_owned()), level),
            None => (None, text),
        };
        let plain = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let level = if level == "warn" { "warning" } else { level };
        if !LEVELS.contains(&level) || logger.as_ref().is_some_and(|name| !plain(name)) {
            return Err(format!("write LEVEL or LOGGER:LEVEL, where LEVEL is one of {}", LEVELS.join(", ")));
        }
        Ok(Self { logger, level: level.to_owned() })
    }
}

// === impl Level ===

impl Level {
    /// The page of Envoy that sets it.
    pub(super) fn path(&self) -> String {
        match &self.logger {
            // Envoy's word for all loggers is the name `level`.
            None => format!("/logging?level={}", self.level),
            Some(logger) => format!("/logging?{logger}={}", self.level),
        }
    }
}

/// The loggers with their levels as Envoy's page has them.
pub(super) fn levels(page: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.trim().split_once(": ").map(|(name, level)| (name.to_owned(), level.to_owned()));
    page.lines().filter_map(pair).collect()
}
