//! `ferromesh-agent`: the programs inside a pod.

mod init;
mod pod;
mod proxy;
mod wait;

pub use init::InitArgs;
pub use proxy::ProxyArgs;
pub use wait::WaitArgs;

use anyhow::Context;
use clap::Args;

use crate::model::ProxyConfig;
use crate::runtime::{LogFormat, init_logs};

/// How the agent's programs log.
#[derive(Clone, Debug, Args)]
struct LogArgs {
    /// Level of the agent's own log, with exceptions by target, as in `info,ferromesh::agent=debug`.
    #[arg(long, env = "FERROMESH_LOG", default_value = "info")]
    log: String,

    /// How log lines are written: text or json.
    #[arg(long, env = "FERROMESH_LOG_FORMAT", default_value = "text")]
    log_format: String,
}

// === impl LogArgs ===

impl LogArgs {
    fn init(&self) -> anyhow::Result<()> {
        Ok(init_logs(self.log_format.parse::<LogFormat>()?, &self.log)?)
    }
}

/// Reads the environment's ProxyConfig; JSON is YAML, too.
fn proxy_config(text: &str) -> anyhow::Result<ProxyConfig> {
    if text.trim().is_empty() {
        return Ok(ProxyConfig::default());
    }
    serde_saphyr::from_str(text).context("PROXY_CONFIG is not a ProxyConfig")
}
