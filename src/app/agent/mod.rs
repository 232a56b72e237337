//! `ferromesh-agent`: the programs inside a pod.

mod init;
mod pod;
mod proxy;
mod wait;

pub use init::InitArgs;
pub(super) use init::redirect_in;
pub use proxy::ProxyArgs;
pub use wait::WaitArgs;

use anyhow::Context;

use super::LogArgs;
use crate::model::ProxySettings;

/// Reads the environment's ProxyConfig; JSON is YAML, too.
fn proxy_config(text: &str) -> anyhow::Result<ProxySettings> {
    if text.trim().is_empty() {
        return Ok(ProxySettings::default());
    }
    serde_saphyr::from_str(text).context("PROXY_CONFIG is not a ProxyConfig")
}
