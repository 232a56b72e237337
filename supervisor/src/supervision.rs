//! What is to be supervised, as one program tells the other.

use ferromesh_process::LogFormat;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// What the supervisor does, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// The agent proper.
    pub agent: Program,
    /// None where the application does Envoy's work itself.
    pub envoy: Option<Program>,
    /// The working directory of both.
    pub directory: PathBuf,
    /// The longest time from the signal to end until Envoy is ended.
    pub drain: Duration,
    /// Which events are logged, as in `info,ferromesh_supervisor=debug`.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
}

/// How to start a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
}

/// Why arguments are not those of a supervisor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Another one comes at that place.
    #[error("{expected} is expected in place of {found:?}: this program is started by `ferromesh-agent proxy` alone")]
    Unexpected {
        /// The argument's name.
        expected: &'static str,
        /// What is there.
        found: OsString,
    },
    /// A value can't be understood.
    #[error("{0} {1:?} can't be understood")]
    Value(&'static str, OsString),
}

const DRAIN: &str = "--drain-milliseconds";
const DIRECTORY: &str = "--directory";
const LOG: &str = "--log";
const LOG_FORMAT: &str = "--log-format";
const AGENT: &str = "--agent";
const ENVOY: &str = "--envoy";

// === impl Supervision ===

impl Supervision {
    /// The arguments from which [`Self::from_arguments`] makes the same again, in the one order that it takes. A program's arguments follow
    /// their number, because they may be anything.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![DRAIN.into(), self.drain.as_millis().to_string().into()];
        arguments.extend([DIRECTORY.into(), self.directory.clone().into_os_string()]);
        arguments.extend([LOG, &self.log, LOG_FORMAT, &self.log_format.to_string()].map(OsString::from));
        for (name, program) in [(AGENT, Some(&self.agent)), (ENVOY, self.envoy.as_ref())] {
            let Some(program) = program else { continue };
            arguments.extend([name.into(), program.arguments.len().to_string().into(), program.path.clone().into_os_string()]);
            arguments.extend(program.arguments.iter().cloned());
        }
        arguments
    }

    /// Reads them.
    ///
    /// # Errors
    /// When they were written by somebody else.
    pub fn from_arguments(arguments: Vec<OsString>) -> Result<Self, ArgumentError> {
        let mut rest = Rest(arguments.into_iter());
        let drain = Duration::from_millis(rest.parsed(DRAIN)?);
        let directory = rest.value(DIRECTORY)?.into();
        let (log, log_format) = (rest.parsed(LOG)?, rest.parsed(LOG_FORMAT)?);
        let agent = rest.program(AGENT)?;
        let envoy = if rest.0.len() == 0 { None } else { Some(rest.program(ENVOY)?) };
        Ok(Self { agent, envoy, directory, drain, log, log_format })
    }
}

/// Arguments that are still to be read.
struct Rest(std::vec::IntoIter<OsString>);

// === impl Rest ===

impl Rest {
    fn value(&mut self, name: &'static str) -> Result<OsString, ArgumentError> {
        let found = self.0.next().unwrap_or_default();
        if found != name {
            return Err(ArgumentError::Unexpected { expected: name, found });
        }
        Ok(self.0.next().unwrap_or_default())
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &'static str) -> Result<T, ArgumentError> {
        let value = self.value(name)?;
        value.to_str().and_then(|text| text.parse().ok()).ok_or(ArgumentError::Value(name, value))
    }

    fn program(&mut self, name: &'static str) -> Result<Program, ArgumentError> {
        let length = self.parsed(name)?;
        let path = self.0.next().unwrap_or_default().into();
        let arguments: Vec<OsString> = self.0.by_ref().take(length).collect();
        if arguments.len() < length {
            return Err(ArgumentError::Value(name, length.to_string().into()));
        }
        Ok(Program { path, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn supervision(envoy: Option<Program>) -> Supervision {
        let odd = ["agent", "", "--envoy", "a b"].map(OsString::from).into_iter().chain([OsString::from_vec(vec![0xff])]);
        Supervision {
            agent: Program { path: "/usr/local/bin/ferromesh-agent".into(), arguments: odd.collect() },
            envoy,
            directory: "/etc/istio/proxy".into(),
            drain: Duration::from_millis(5500),
            log: "info,x=debug".to_owned(),
            log_format: LogFormat::Json,
        }
    }

    #[test]
    fn arguments_come_back_as_they_were() {
        let envoy = Program { path: "/usr/local/bin/envoy".into(), arguments: vec!["--agent".into(), "0".into()] };
        for supervision in [supervision(None), supervision(Some(envoy))] {
            assert_eq!(Supervision::from_arguments(supervision.to_arguments()), Ok(supervision));
        }
    }

    #[test]
    fn arguments_of_others_are_refused_by_name() {
        let refused = |arguments: &[&str]| {
            let all = arguments.iter().map(OsString::from).collect();
            Supervision::from_arguments(all).unwrap_err().to_string()
        };
        assert!(refused(&["sidecar"]).contains("--drain-milliseconds is expected in place of \"sidecar\""));
        assert_eq!(refused(&["--drain-milliseconds", "5s"]), "--drain-milliseconds \"5s\" can't be understood");
        let mut short = supervision(None).to_arguments();
        short.pop();
        assert_eq!(Supervision::from_arguments(short), Err(ArgumentError::Value(AGENT, "5".into())));
    }
}
