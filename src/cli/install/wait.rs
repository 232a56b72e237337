//! Whether a verb waits for what it has begun, and how long: the same flags for all of them.

use clap::Args;
use std::{str::FromStr, time::Duration};

use super::cluster::timeout;

/// How long the questions before and after a wait may take.
pub(in crate::cli) const QUESTIONS: Duration = Duration::from_secs(30);

/// Whether to wait, and how long.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::cli) struct WaitArgs {
    /// Wait until it is done; with a time no longer than that, with false not at all
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", value_name = "TIME")]
    wait: Option<Wait>,
    /// How long it may take
    #[arg(long, visible_alias = "readiness-timeout", default_value = "5m", value_parser = timeout, value_name = "TIME")]
    timeout: Duration,
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
    AtMost(Duration),
}

// === impl Wait ===

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::Yes),
            "false" => Ok(Self::No),
            time => timeout(time).map(Self::AtMost),
        }
    }
}

impl WaitArgs {
    /// Whether to wait, where that is not said.
    pub(in crate::cli) fn waits(self, default: bool) -> bool {
        self.wait.map_or(default, |wait| wait != Wait::No)
    }

    /// How long it may take.
    pub(in crate::cli) fn timeout(self) -> Duration {
        match self.wait {
            Some(Wait::AtMost(time)) => time,
            _ => self.timeout,
        }
    }

    /// How long it may take with all questions before and after.
    pub(in crate::cli) fn longest(self) -> Duration {
        self.timeout() + QUESTIONS
    }
}
