//! `ferromesh-agent`: the programs inside a pod.

mod handover;
mod init;
mod pod;
mod proxy;
mod wait;

pub(super) use handover::as_text;
pub use init::InitArgs;
pub(super) use init::redirect_in;
pub use proxy::ProxyArgs;
pub use wait::WaitArgs;

use anyhow::Context;
use serde::de::DeserializeOwned;

use super::LogArgs;
use crate::model::ProxySettings;

/// Reads the environment's ProxyConfig.
fn proxy_config(text: &str) -> anyhow::Result<ProxySettings> {
    if text.trim().is_empty() {
        return Ok(ProxySettings::default());
    }
    from_json_or_yaml(text).context("PROXY_CONFIG is not a ProxyConfig")
}

/// Reads what people may have written in YAML. The injector writes JSON: a pod that nobody changed by hand has no page of the reader of YAML,
/// which says what is wrong with either.
fn from_json_or_yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_json::from_str(text).or_else(|_| serde_saphyr::from_str(text))
}
