//! How a process logs.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::agent::as_text;
use crate::runtime::{LogError, LogFormat, init_logs};

/// Arguments of the log.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(super) struct LogArgs {
    /// Level of the log, with exceptions by target, as in `info,ferromesh::pilot=debug`.
    #[arg(long, env = "FERROMESH_LOG", default_value = "info")]
    log: String,

    /// How log lines are written: text or json.
    #[arg(long, value_name = "FORMAT", env = "FERROMESH_LOG_FORMAT", default_value = "text")]
    #[serde(with = "as_text")]
    log_format: LogFormat,
}

// === impl LogArgs ===

impl LogArgs {
    /// Sends what the process says to stderr from now on.
    pub(super) fn init(&self) -> Result<(), LogError> {
        init_logs(self.log_format, &self.log)
    }

    /// What another process needs to log alike: which events, and how they are written.
    pub(super) fn settings(&self) -> (String, LogFormat) {
        (self.log.clone(), self.log_format)
    }
}
