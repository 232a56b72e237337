//! What xDS costs: pilot as it ships, reading a real API server, and N simulated proxies with mutual TLS and delta streams.
//!
//! ```text
//! mesh ──▶ API server ──▶ pilot (a core of its own) ══▶ fleet of streams, one proxy each ──▶ board ──▶ trial ──▶ report, plots
//!                           ▲ its certificate            (what was sent: once in the catalog)
//!                          pki                    canned, the yardstick, sends the same bytes to the same fleet
//! ```
//!
//! It knows of pilot what an Envoy knows, and what the kernel tells of a process.

mod board;
mod canned;
mod catalog;
mod fleet;
mod kind;
mod mesh;
mod pilot;
mod pki;
mod plot;
mod proxy;
mod report;
mod stream;
mod trial;
mod wire;

pub(crate) use canned::CannedArgs;

use anyhow::{Context, ensure};
use clap::Args;
use kube::Client;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{fs, path::PathBuf, sync::Arc};

use self::{mesh::Mesh, pki::Authority, trial::Setting};
use crate::scratch;

/// Arguments of `ferromesh-bench xds`.
#[derive(Debug, Args)]
pub(crate) struct XdsArgs {
    /// The control plane's program.
    #[arg(long, value_name = "FILE")]
    ferromeshd: PathBuf,

    /// The core that pilot is bound to. Start this program on another one.
    #[arg(long, default_value_t = 0)]
    core: u32,

    /// How many proxies: a trial for each number, at the largest number of services.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 500, 1000, 2000])]
    proxies: Vec<usize>,

    /// How many services: a trial for each number, with `--beside` proxies.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 300, 1000])]
    services: Vec<usize>,

    /// How many proxies there are while the services grow.
    #[arg(long, default_value_t = 100)]
    beside: usize,

    /// Endpoints of each service.
    #[arg(long, default_value_t = 10)]
    endpoints: usize,

    /// Changes of endpoints, and of a VirtualService, in each trial.
    #[arg(long, default_value_t = 100)]
    changes: usize,

    /// Where plots are written to; none are without it.
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
}

/// Files that are open beside one connection for each proxy.
const OTHER_FILES: u64 = 256;

// === impl XdsArgs ===

impl XdsArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let all = self.proxies.iter().chain(&self.services).chain([&self.beside, &self.endpoints]);
        ensure!(all.copied().min() > Some(0), "there must be at least one of each: proxies, services, endpoints");
        ensure!(self.changes >= 2, "there must be at least two changes: the server of canned bytes takes turns with the last two");
        let largest = self.proxies.iter().chain([&self.beside]).copied().max().unwrap_or(1);
        allow_files(largest as u64 + OTHER_FILES)?;
        let client = Client::try_default().await.context("no access to the cluster")?;
        scratch::within(&client.clone(), mesh::NAMESPACE, self.measure(client)).await
    }

    async fn measure(&self, client: Client) -> anyhow::Result<()> {
        let authority = Arc::new(Authority::new()?);
        let setting = Setting { ferromeshd: &self.ferromeshd, core: self.core, changes: self.changes, authority };
        let mut mesh = Mesh::new(client, self.endpoints).await?;
        let (mut services, mut proxies) = (self.services.clone(), self.proxies.clone());
        services.sort_unstable();
        proxies.sort_unstable();
        let mut by_services = Vec::new();
        for number in services {
            mesh.grow(number).await?;
            by_services.push(setting.run(&mut mesh, self.beside).await?);
        }
        let mut by_proxies = Vec::new();
        for number in proxies {
            by_proxies.push(setting.run(&mut mesh, number).await?);
        }
        print!("{}", report::tables(&by_proxies, &by_services, self.endpoints));
        if let Some(folder) = &self.plots {
            fs::create_dir_all(folder)?;
            for (name, drawing) in report::plots(&by_proxies, &by_services) {
                fs::write(folder.join(name), drawing)?;
            }
        }
        Ok(())
    }
}

/// Sees to it that this process, and those that it starts, may open so many files.
fn allow_files(wanted: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    let why =
        || format!("{wanted} files must be open at a time, one for each proxy, but the limit is {soft} (hard: {hard}); see ulimit -n");
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).with_context(why)
}
