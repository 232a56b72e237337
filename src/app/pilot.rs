//! `ferromeshd pilot`.

use anyhow::Context;
use clap::Args;
use kube::Client;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{Process, ProcessArgs};
use crate::index::{self, IndexConfig};
use crate::pilot::{self, DebugAccess, PilotConfig};
use crate::runtime::{IdentityConfig, Listener};

/// Tells proxies what to do: compiles the mesh and serves it by xDS.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromeshd pilot\n  ferromeshd pilot --mesh-config ./mesh.yaml --log info,ferromesh::pilot=debug")]
pub struct PilotArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where proxies connect, by mutual TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15012")]
    listen: SocketAddr,

    /// The control plane's namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    namespace: String,

    /// This pod's name, which events tell.
    #[arg(long, env = "POD_NAME", default_value = "istio-pilot")]
    pod: String,

    /// The mesh's MeshConfig in YAML. It is read again when it changes; defaults hold while it is absent.
    #[arg(long, value_name = "FILE", default_value = "/etc/istio/config/mesh")]
    mesh_config: PathBuf,

    /// The cluster's DNS domain.
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,

    /// Citadel, which signs pilot's certificate; by default the one in the control plane's namespace.
    #[arg(long, value_name = "HOST:PORT", env = "CA_ADDRESS")]
    ca_address: Option<String>,

    /// The service account token that proves to citadel who pilot is.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/tokens/istio-token")]
    token: PathBuf,

    /// The mesh's root certificates.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/istio/root-cert.pem")]
    roots: PathBuf,
}

/// What pilot asks for; citadel may give less.
const LIFETIME: Duration = Duration::from_secs(86_400);

// === impl PilotArgs ===

impl PilotArgs {
    /// Runs pilot until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, there is no cluster, or a part of pilot died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("pilot", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        let (tasks, readiness, registry) = (&mut process.tasks, &process.readiness, &mut process.registry);
        let access = DebugAccess::new(client.clone(), &self.namespace);
        let source = index::start(client.clone(), self.index(), tasks, readiness, registry);
        let debug = pilot::start(self.pilot(), client, source, listener, tasks, readiness, registry);
        process.run(access.open(debug)).await
    }

    fn index(&self) -> IndexConfig {
        let (mesh_config, cluster_domain) = (self.mesh_config.clone(), self.cluster_domain.clone());
        IndexConfig { mesh_config, cluster_domain, ..IndexConfig::default() }
    }

    fn pilot(&self) -> PilotConfig {
        let address = self.ca_address.clone().unwrap_or_else(|| format!("istio-citadel.{}.svc:15012", self.namespace));
        let (token_file, root_file) = (self.token.clone(), self.roots.clone());
        let identity = IdentityConfig { address, server_name: None, token_file, root_file, lifetime: LIFETIME };
        PilotConfig { identity, pod: self.pod.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        pilot: PilotArgs,
    }

    fn ca_address(arguments: &[&str]) -> String {
        Command::try_parse_from(["pilot"].iter().chain(arguments)).unwrap().pilot.pilot().identity.address
    }

    #[test]
    fn pilot_asks_the_citadel_of_its_own_namespace_unless_told_otherwise() {
        assert_eq!(ca_address(&["--namespace", "mesh"]), "istio-citadel.mesh.svc:15012");
        assert_eq!(ca_address(&["--ca-address", "ca:1"]), "ca:1");
    }
}
