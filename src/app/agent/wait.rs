//! `ferromesh-agent wait`.

use clap::Args;
use std::time::Duration;
use tokio::runtime;

use super::proxy_config;
use crate::agent::wait_until_ready;

/// Waits until the pod's proxy is ready: a hook that holds the application's containers back.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromesh-agent wait\n  ferromesh-agent wait --timeout 120")]
pub struct WaitArgs {
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// This pod's ProxyConfig, in JSON or YAML; only its statusPort matters here.
    #[arg(long, env = "PROXY_CONFIG", default_value = "")]
    proxy_config: String,
}

// === impl WaitArgs ===

impl WaitArgs {
    /// Waits.
    ///
    /// # Errors
    /// When the time is up, with what is missing.
    pub fn run(self) -> anyhow::Result<()> {
        let port = proxy_config(&self.proxy_config)?.status_port;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let waited = runtime.block_on(wait_until_ready(port, Duration::from_secs(self.timeout)));
        waited.map_err(|missing| anyhow::anyhow!("the proxy is not ready after {} s: {missing}", self.timeout))
    }
}
