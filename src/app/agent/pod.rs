//! What the environment and the mounted files say of a pod.

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::proxy_config;
use crate::agent::{ProxyFacts, parse_downward};
use crate::model::{ProxyRole, ProxyStatistics};

/// Facts of the pod, all from the environment.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(super) struct PodArgs {
    /// This pod's name.
    #[arg(long, env = "POD_NAME")]
    pod_name: String,

    /// This pod's namespace.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: String,

    /// This pod's addresses, the main one first, as a comma list.
    #[arg(long, env = "INSTANCE_IP")]
    instance_ip: String,

    /// This pod's service account.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "default")]
    service_account: String,

    /// The node that this pod runs on.
    #[arg(long, env = "NODE_NAME")]
    node_name: Option<String>,

    /// The mesh's trust domain.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    trust_domain: String,

    /// This pod's ProxyConfig, in JSON or YAML.
    #[arg(long, env = "PROXY_CONFIG", default_value = "")]
    proxy_config: String,

    /// The pod's labels, as the downward API writes them.
    #[arg(long, hide = true, default_value = "/etc/istio/pod/labels")]
    labels: PathBuf,

    /// The pod's annotations, likewise.
    #[arg(long, hide = true, default_value = "/etc/istio/pod/annotations")]
    annotations: PathBuf,
}

/// What begins the names of variables that become metadata.
const METADATA: &str = "ISTIO_META_";

// === impl PodArgs ===

impl PodArgs {
    /// Raw arguments to meaningful ones. `metadata` is that of [`environment_metadata`].
    pub(super) fn facts(&self, role: ProxyRole, metadata: BTreeMap<String, String>) -> anyhow::Result<ProxyFacts> {
        let addresses = self.instance_ip.split(',').map(str::trim).filter(|part| !part.is_empty());
        let addresses: Vec<IpAddr> = addresses
            .map(|part| part.parse().with_context(|| format!("INSTANCE_IP: {part:?} is no address")))
            .collect::<anyhow::Result<_>>()?;
        anyhow::ensure!(!addresses.is_empty(), "INSTANCE_IP: the pod has no address");
        let workload = metadata.get("WORKLOAD_NAME").filter(|name| !name.is_empty()).unwrap_or(&self.pod_name).clone();
        Ok(ProxyFacts {
            role,
            pod: self.pod_name.clone(),
            namespace: self.pod_namespace.clone(),
            service_account: if self.service_account.is_empty() { "default".to_owned() } else { self.service_account.clone() },
            addresses,
            workload,
            node: self.node_name.clone().filter(|name| !name.is_empty()),
            labels: read_downward(&self.labels)?,
            metadata,
            proxy_config: proxy_config(&self.proxy_config)?,
            statistics: statistics(&read_downward(&self.annotations)?),
            trust_domain: self.trust_domain.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

/// What a file of the downward API says; nothing if there is none.
fn read_downward(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(parse_downward(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// What annotations ask of statistics. The injector has refused what is wrong; what somebody has changed since then is told, and a proxy
/// that starts is worth more.
fn statistics(annotations: &BTreeMap<String, String>) -> ProxyStatistics {
    let mut statistics = ProxyStatistics::default();
    for annotation in ProxyStatistics::ANNOTATIONS {
        let Some(text) = annotations.get(annotation) else { continue };
        if let Err(problem) = statistics.set(annotation, text) {
            tracing::warn!(annotation, value = text, problem, "annotation has no effect");
        }
    }
    statistics
}

/// The metadata that the injector or a user's proxyMetadata put into the environment, without its prefix.
pub(super) fn environment_metadata() -> BTreeMap<String, String> {
    let named = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let key = name.to_str()?.strip_prefix(METADATA)?.to_owned();
        Some((key, value.to_string_lossy().into_owned()))
    };
    env::vars_os().filter_map(named).collect()
}
