//! Logs: one event a line on stderr, as text for people or as JSON for machines.

use std::{fmt, str::FromStr};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL target: message field=value`.
    #[default]
    Text,
    /// A JSON object a line, fields at the top level.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The format has another name.
    #[error("log format {0:?} is neither \"text\" nor \"json\"")]
    Format(String),
    /// The filter is not of the form `level` or `target=level,…`.
    #[error("log filter {filter:?} is not of the form \"info\" or \"info,ferromesh::pilot=debug\"")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process logs already.
    #[error("logs are set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

// === impl LogFormat ===

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// Sends this process's events to stderr from now on. `filter` is a level (`info`) with exceptions by target
/// (`info,ferromesh::pilot=debug`).
///
/// # Errors
/// When the filter can't be parsed, or logs were set up before.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let targets = parse_filter(filter)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => registry.with(layer).try_init()?,
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_current_span(false).with_span_list(false)).try_init()?,
    }
    Ok(())
}

/// `Targets` rather than `EnvFilter`: the latter brings a regex engine into every agent.
fn parse_filter(filter: &str) -> Result<Targets, LogError> {
    filter.parse().map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_with_exceptions() {
        let targets = parse_filter("info,ferromesh::pilot=debug").unwrap();
        assert!(targets.would_enable("ferromesh::pilot", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("ferromesh::galley", &tracing::Level::DEBUG));
    }

    #[test]
    fn bad_settings_are_named() {
        assert!(parse_filter("pilot=loud").unwrap_err().to_string().contains("\"pilot=loud\""));
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
        }
        assert_eq!("xml".parse::<LogFormat>().unwrap_err().to_string(), "log format \"xml\" is neither \"text\" nor \"json\"");
    }
}
