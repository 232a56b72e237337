//! How `ferromesh-agent proxy` hands its arguments over to the agent proper: in JSON, as it has read them. Reading a command line takes half
//! a megabyte of code, which would stay resident in every pod for what is done once.

use anyhow::Context;
use std::{env, ffi::OsString};

use super::ProxyArgs;

/// What the agent proper is started with in place of a verb for people.
const AGENT: &str = "agent";

// === impl ProxyArgs ===

impl ProxyArgs {
    /// The arguments with which this program is the agent proper.
    pub(super) fn hand_over(&self) -> anyhow::Result<Vec<OsString>> {
        let read = serde_json::to_string(self).context("arguments can't be handed over to the agent")?;
        Ok(vec![AGENT.into(), read.into()])
    }

    /// What was handed over, if this process is the agent proper.
    ///
    /// # Errors
    /// When it was not started by the supervisor.
    pub fn handed_over() -> anyhow::Result<Option<Self>> {
        Self::from_handover(env::args_os().skip(1))
    }

    fn from_handover(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Option<Self>> {
        if arguments.next().is_none_or(|verb| verb != AGENT) {
            return Ok(None);
        }
        let read = arguments.next().unwrap_or_default();
        let args =
            serde_json::from_str(&read.to_string_lossy()).context("`ferromesh-agent agent` is started by `ferromesh-agent proxy` alone")?;
        Ok(Some(args))
    }
}

/// Values in the form in which people write them.
pub(in crate::app) mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub(in crate::app) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_string().serialize(serializer)
    }

    pub(in crate::app) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::agent::proxy::tests::Command;
    use clap::Parser;

    #[test]
    fn arguments_come_over_as_they_were() {
        let given = ["proxy", "router", "--pod-name", "web-1", "--pod-namespace", "shop", "--instance-ip", "10.0.0.7", "--log", "debug"];
        let more = ["--log-format", "json", "--node-name", "n", "--probes", r#"{"/x": "\"ü\""}"#, "--envoy", "/e", "--dns-port", "53"];
        let args = Command::try_parse_from(given.into_iter().chain(more)).unwrap().proxy;
        let came = ProxyArgs::from_handover(args.hand_over().unwrap().into_iter()).unwrap().unwrap();
        assert_eq!(format!("{came:?}"), format!("{args:?}"));
    }

    #[test]
    fn only_the_agent_proper_takes_them() {
        let taken = |arguments: &[&str]| ProxyArgs::from_handover(arguments.iter().map(OsString::from));
        assert!(taken(&[]).unwrap().is_none() && taken(&["proxy", "sidecar"]).unwrap().is_none());
        let error = taken(&["agent", "sidecar"]).unwrap_err();
        assert_eq!(error.to_string(), "`ferromesh-agent agent` is started by `ferromesh-agent proxy` alone");
    }
}
