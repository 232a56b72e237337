//! A webhook's process on a core of its own, with a certificate of its own, and what it answers in a second.

use anyhow::Context;
use clap::Args;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

use crate::load::{Load, Throughput};
use crate::process::{self, Process, free_address, on_core};
use crate::statistics::milliseconds;

/// Which program is measured, where and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct Setting {
    /// The control plane's program.
    #[arg(long, value_name = "FILE")]
    ferromeshd: PathBuf,

    /// The core that the webhook's process is bound to. Start this program on another one.
    #[arg(long, default_value_t = 0)]
    core: u32,

    /// Seconds of each run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,

    /// Runs of each measurement; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// What is sent to a webhook, over and over.
pub(crate) struct Question<'a> {
    /// The path of the webhook.
    pub(crate) path: &'static str,
    /// The AdmissionReview.
    pub(crate) review: &'a Value,
    /// What each answer must contain.
    pub(crate) expected: &'static str,
    /// The name of the figure.
    pub(crate) what: &'a str,
    /// Connections that send at once.
    pub(crate) connections: usize,
}

/// A role's process with its own certificate; ends with this value.
pub(crate) struct Webhook {
    process: Process,
    address: SocketAddr,
    monitoring: SocketAddr,
    tls: Arc<ClientConfig>,
    _files: TempDir,
}

// === impl Webhook ===

impl Webhook {
    /// Starts `role`, which reads the cluster of KUBECONFIG; of `settings`, the options that name a file of the operator's, each is given its file.
    pub(crate) async fn start(setting: &Setting, role: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let tls = certificates(files.path())?;
        fs::write(files.path().join("--mesh-config"), "{}\n")?;
        fs::write(files.path().join("--values"), values().to_string())?;
        let (address, monitoring) = (free_address()?, free_address()?);
        let mut command = on_core(setting.core);
        command.arg(&setting.ferromeshd).arg(role);
        command.args(["--listen", &address.to_string(), "--monitoring", &monitoring.to_string(), "--log", "warn"]);
        command.arg("--certificates").arg(files.path());
        for option in settings {
            command.arg(option).arg(files.path().join(option));
        }
        let mut process = Process::start(&mut command)?;
        process.ready(monitoring).await.with_context(|| format!("{role} did not start"))?;
        Ok(Self { process, address, monitoring, tls, _files: files })
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Its figures, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        process::metrics(self.monitoring).await
    }

    /// Asks the question over and over and prints the median of the runs as a line of the table.
    pub(crate) async fn measure(&self, setting: &Setting, question: &Question<'_>) -> anyhow::Result<()> {
        let load = Load {
            address: self.address,
            tls: self.tls.clone(),
            path: question.path,
            body: question.review.to_string().into(),
            expected: question.expected,
            connections: question.connections,
            duration: Duration::from_secs(setting.seconds),
        };
        // Warms caches and connections; no figure.
        Load { duration: Duration::from_secs(1), ..load.clone() }.run().await?;
        let mut runs = Vec::new();
        for _ in 0..setting.runs {
            runs.push(load.clone().run().await?);
        }
        runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let Throughput { per_second, p99 } = &runs[runs.len() / 2];
        let connections = question.connections;
        println!("| {} a second on one core, {connections} connections; p99 | {per_second:.0}/s; {} |", question.what, milliseconds(*p99));
        Ok(())
    }
}

/// Writes `tls.crt` and `tls.key`; returns what trusts them.
fn certificates(folder: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("tls.crt"), cert.pem())?;
    fs::write(folder.join("tls.key"), signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn values() -> Value {
    json!({
        "hub": "ferromesh", "tag": "bench", "revision": "default", "istioNamespace": "istio-system",
        "caAddress": "istio-citadel.istio-system.svc:15012", "clusterId": "Kubernetes",
        "proxy": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    })
}
