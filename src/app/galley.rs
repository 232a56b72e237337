//! `ferromeshd galley`.

use anyhow::Context;
use axum::Router;
use clap::Args;
use kube::Client;
use std::{net::SocketAddr, path::PathBuf};

use super::{IdentityArgs, Process, ProcessArgs};
use crate::galley::{self, DistributionConfig, GalleyConfig};
use crate::model::of_revision;
use crate::runtime::{ContentWatch, IdentityClient, Listener};

/// Refuses configuration that the mesh would not understand, and tells authors what became of theirs.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromeshd galley\n  ferromeshd galley --certificates ./certs --distribute 0.0.0.0:9901")]
pub struct GalleyArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where the API server's questions are answered, at /validate over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443")]
    listen: SocketAddr,

    /// Folder with the serving certificate, tls.crt and tls.key. It is read again when it changes.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/ferromesh/webhook-certs")]
    certificates: PathBuf,

    /// The mesh's MeshConfig in YAML. It is read again when it changes; defaults hold while it is absent.
    #[arg(long, value_name = "FILE", default_value = "/etc/istio/config/mesh")]
    mesh_config: PathBuf,

    /// The control plane's namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    namespace: String,

    /// This pod's name, by which replicas agree on one that writes statuses.
    #[arg(long, env = "POD_NAME", default_value = "istio-galley")]
    pod_name: String,

    /// The control plane's revision: objects that name another are none of its business. Empty for the default one.
    #[arg(long, value_name = "REVISION", default_value = "", hide_default_value = true)]
    revision: String,

    /// The cluster's DNS domain, under which short host names are looked for.
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,

    /// Where pilot gets the mesh's configuration, by mutual TLS, if it is told to. Without this nobody does.
    #[arg(long, value_name = "ADDRESS")]
    distribute: Option<SocketAddr>,

    #[command(flatten)]
    identity: IdentityArgs,
}

/// The service account that may read all configuration, in the default revision.
const PILOT: &str = "istio-pilot";

// === impl GalleyArgs ===

impl GalleyArgs {
    /// Runs galley until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, there is no cluster, or a part of galley died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("galley", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        let distribution = match self.distribute {
            Some(address) => Some((self.distribution(&mut process), Listener::bind(address).await?)),
            None => None,
        };
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        let config = self.config(distribution);
        galley::start(config, client, listener, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    /// Has galley get a certificate, which it needs for nothing else.
    fn distribution(&self, process: &mut Process) -> DistributionConfig {
        let (identity, certificate) = IdentityClient::new(self.identity.config(&self.namespace), &mut process.registry);
        process.tasks.spawn("identity", identity.run(process.tasks.shutdown()));
        DistributionConfig { certificate, reader: of_revision(PILOT, &self.revision) }
    }

    fn config(self, distribution: Option<(DistributionConfig, Listener)>) -> GalleyConfig {
        GalleyConfig {
            certificates: self.certificates,
            mesh_config: self.mesh_config,
            reread: ContentWatch::INTERVAL,
            namespace: self.namespace,
            pod: self.pod_name,
            cluster_domain: self.cluster_domain,
            revision: self.revision,
            distribution,
        }
    }
}
