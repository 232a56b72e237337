//! Pilot's process, as the benchmark runs it.

use anyhow::Context;
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

use super::pki::Authority;
use crate::process::{Process, free_address, on_core};

/// The process; ends with this value.
pub(super) struct Pilot {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    /// From its start until it said that it is ready.
    pub(super) start: Duration,
    _files: TempDir,
}

// === impl Pilot ===

impl Pilot {
    /// Starts a pilot that reads the cluster of KUBECONFIG and gets its certificate from `authority`.
    pub(super) async fn start(ferromeshd: &Path, core: u32, authority: &Arc<Authority>) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).map(|()| path)
        };
        let (mesh_config, token, roots) = (file("mesh", "{}\n")?, file("token", "bench\n")?, file("roots.pem", &authority.pem())?);
        let (address, monitoring, ca) = (free_address()?, free_address()?, authority.serve().await?);
        let mut command = on_core(core);
        command.arg(ferromeshd).args(["pilot", "--log", "warn", "--namespace", "istio-system"]);
        // As the operator sets it.
        command.env("MIMALLOC_PURGE_DELAY", "0");
        command.args(["--listen", &address.to_string(), "--monitoring", &monitoring.to_string(), "--ca-address", &ca.to_string()]);
        command.arg("--mesh-config").arg(mesh_config).arg("--token").arg(token).arg("--roots").arg(roots);
        let started = Instant::now();
        let mut process = Process::start(&mut command)?;
        process.ready(monitoring).await.context("pilot did not start")?;
        Ok(Self { process, address, start: started.elapsed(), _files: files })
    }
}
