//! `ferromeshd cni`.

use anyhow::Context;
use axum::Router;
use clap::Args;
use kube::Client;
use std::path::PathBuf;

use super::{Process, ProcessArgs, agent::redirect_in};
use crate::cni::{self, CniConfig, Redirect};
use crate::model::PodRepair;
use crate::runtime::UnixSocket;

/// Redirects the traffic of this node's pods, in place of a container of theirs, and mends pods that started without.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  ferromeshd cni --node-name node-1\n  ferromeshd cni --node-name node-1 --bin-dir /usr/lib/cni --repair label"
)]
pub struct CniArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// The node that this runs on.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: String,

    /// The namespace of the DaemonSet istio-cni-node.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = "istio-system")]
    namespace: String,

    /// The node's folder of network plugins.
    #[arg(long, value_name = "FOLDER", default_value = "/opt/cni/bin")]
    bin_dir: PathBuf,

    /// The node's folder of network configurations.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,

    /// The plugin's program, which is copied there.
    #[arg(long, value_name = "FILE", default_value = "/usr/local/bin/istio-cni")]
    plugin: PathBuf,

    /// Where the plugin asks: a Unix socket, at the same path on the node.
    #[arg(long, value_name = "FILE", default_value = "/var/run/istio-cni/cni.sock")]
    socket: PathBuf,

    /// What becomes of pods that started without their rules: fix, delete, label or off.
    #[arg(long, value_name = "WAY", default_value_t)]
    repair: PodRepair,
}

// === impl CniArgs ===

impl CniArgs {
    /// Runs the nodes' part until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, the socket can't be made, there is no cluster, or a part of it died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("cni", &self.process).await?;
        let socket = UnixSocket::bind(&self.socket).with_context(|| format!("can't listen on {}", self.socket.display()))?;
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        cni::start(self.config(), client, socket, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    fn config(self) -> CniConfig {
        CniConfig {
            node: self.node_name,
            namespace: self.namespace,
            bin_dir: self.bin_dir,
            conf_dir: self.conf_dir,
            plugin: self.plugin,
            socket: self.socket,
            repair: self.repair,
            processes: PathBuf::from("/proc"),
            redirect: Redirect::new(|arguments, namespace| redirect_in(arguments, namespace).map_err(|error| format!("{error:#}"))),
        }
    }
}
