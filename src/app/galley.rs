//! `ferromeshd galley`.

use axum::Router;
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

use super::{Process, ProcessArgs};
use crate::galley::{self, GalleyConfig};
use crate::runtime::{ContentWatch, Listener};

/// Refuses configuration that the mesh would not understand.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromeshd galley\n  ferromeshd galley --certificates ./certs --cluster-domain corp.local")]
pub struct GalleyArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where the API server's questions are answered, at /validate over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443")]
    listen: SocketAddr,

    /// Folder with the serving certificate, tls.crt and tls.key. It is read again when it changes.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/ferromesh/webhook-certs")]
    certificates: PathBuf,

    /// The cluster's DNS domain, under which short host names are looked for.
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
}

// === impl GalleyArgs ===

impl GalleyArgs {
    /// Runs galley until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, or a part of galley died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("galley", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        galley::start(self.config(), listener, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    fn config(self) -> GalleyConfig {
        GalleyConfig { certificates: self.certificates, reread: ContentWatch::INTERVAL, cluster_domain: self.cluster_domain }
    }
}
