//! `ferromeshd injector`.

use anyhow::Context;
use axum::Router;
use clap::Args;
use kube::Client;
use std::{net::SocketAddr, path::PathBuf};

use super::{Process, ProcessArgs};
use crate::injector::{self, InjectorConfig, ProxyImage};
use crate::runtime::{ContentWatch, Listener};

/// Puts the sidecar into pods when they are created.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromeshd injector\n  ferromeshd injector --certificates ./certs --mesh-config ./mesh.yaml")]
pub struct InjectorArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where the API server's questions are answered, at /inject over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443")]
    listen: SocketAddr,

    /// Folder with the serving certificate, tls.crt and tls.key. It is read again when it changes.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/ferromesh/webhook-certs")]
    certificates: PathBuf,

    /// The mesh's MeshConfig in YAML. It is read again when it changes.
    #[arg(long, value_name = "FILE", default_value = "/etc/istio/config/mesh")]
    mesh_config: PathBuf,

    /// Images, addresses and defaults of what is injected, in YAML. It is read again when it changes.
    #[arg(long, value_name = "FILE", default_value = "/etc/istio/inject/values")]
    values: PathBuf,

    /// Where the proxy's image is, in place of the values' hub: this injector's own version goes with it.
    #[arg(long, value_name = "REGISTRY/PATH")]
    hub: Option<String>,

    /// The tag of the proxy's image, in place of the values' tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

// === impl InjectorArgs ===

impl InjectorArgs {
    /// Runs the injector until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, there is no cluster, or a part of the injector died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("injector", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        injector::start(self.config(), client, listener, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    fn config(self) -> InjectorConfig {
        InjectorConfig {
            certificates: self.certificates,
            mesh: self.mesh_config,
            values: self.values,
            image: ProxyImage { hub: self.hub, tag: self.tag },
            reread: ContentWatch::INTERVAL,
        }
    }
}
