//! `ferromeshd pilot`.

use anyhow::Context;
use clap::{Args, ValueEnum};
use kube::Client;
use std::{net::SocketAddr, path::PathBuf};

use super::{IdentityArgs, Process, ProcessArgs};
use crate::index::{self, ConfigSource, IndexConfig};
use crate::mcp;
use crate::model::{SpiffeId, of_revision};
use crate::pilot::{self, DebugAccess, PilotConfig};
use crate::runtime::{CertificateSource, IdentityClient, Listener};

/// Tells proxies what to do: compiles the mesh and serves it by xDS.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  ferromeshd pilot\n  ferromeshd pilot --config-source galley --log info,ferromesh::pilot=debug")]
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

    /// The control plane's revision: objects that name another are none of its business. Empty for the default one.
    #[arg(long, value_name = "REVISION", default_value = "", hide_default_value = true)]
    revision: String,

    /// The cluster's DNS domain.
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,

    /// Where the mesh's configuration comes from. Services, endpoints, pods and nodes come from Kubernetes, whatever is said here.
    #[arg(long, value_name = "SOURCE", default_value = "kubernetes")]
    config_source: SourceArg,

    /// Galley, if configuration comes from there; by default the one of the same revision in the control plane's namespace.
    #[arg(long, value_name = "HOST:PORT")]
    galley_address: Option<String>,

    /// The identity that galley must prove; by default that of its service account in the control plane's namespace.
    #[arg(long, value_name = "IDENTITY")]
    galley_identity: Option<SpiffeId>,

    #[command(flatten)]
    identity: IdentityArgs,
}

/// Where configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceArg {
    /// Watches of the cluster's API.
    Kubernetes,
    /// Galley, by MCP.
    Galley,
}

/// The service account of galley, and the host under which it is found, in the default revision.
const GALLEY: &str = "istio-galley";

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
        let (identity, certificate) = IdentityClient::new(self.identity.config(&self.namespace), registry);
        tasks.spawn("identity", identity.run(tasks.shutdown()));
        let source = index::start(client.clone(), self.index(&certificate), tasks, readiness, registry);
        let pilot = PilotConfig { certificate, pod: self.pod.clone() };
        let debug = pilot::start(pilot, client, source, listener, tasks, readiness, registry);
        process.run(access.open(debug)).await
    }

    fn index(&self, certificate: &CertificateSource) -> IndexConfig {
        let (mesh_config, cluster_domain) = (self.mesh_config.clone(), self.cluster_domain.clone());
        let source = match self.config_source {
            SourceArg::Kubernetes => ConfigSource::Kubernetes,
            SourceArg::Galley => ConfigSource::Galley(self.galley(certificate)),
        };
        IndexConfig { mesh_config, cluster_domain, source, revision: self.revision.clone(), ..IndexConfig::default() }
    }

    fn galley(&self, certificate: &CertificateSource) -> mcp::ClientConfig {
        let galley = of_revision(GALLEY, &self.revision);
        let account = || mcp::Server::Account { namespace: self.namespace.clone(), name: galley.clone() };
        mcp::ClientConfig {
            address: self.galley_address.clone().unwrap_or_else(|| format!("{galley}.{}.svc:9901", self.namespace)),
            server: self.galley_identity.clone().map_or_else(account, mcp::Server::Named),
            certificate: certificate.clone(),
            name: self.pod.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tokio::sync::watch;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        pilot: PilotArgs,
    }

    fn pilot(arguments: &[&str]) -> PilotArgs {
        Command::try_parse_from(["pilot"].iter().chain(arguments)).unwrap().pilot
    }

    #[test]
    fn pilot_asks_the_galley_of_its_own_namespace_if_it_asks_one_at_all() {
        let galley = |arguments: &[&str]| match pilot(arguments).index(&watch::channel(None).1).source {
            ConfigSource::Kubernetes => None,
            ConfigSource::Galley(client) => Some((client.address, client.server)),
        };
        assert_eq!(galley(&[]), None);
        let server = mcp::Server::Account { namespace: "mesh".to_owned(), name: "istio-galley".to_owned() };
        assert_eq!(galley(&["--config-source", "galley", "--namespace", "mesh"]), Some(("istio-galley.mesh.svc:9901".to_owned(), server)));
        let server = mcp::Server::Account { namespace: "istio-system".to_owned(), name: "istio-galley-canary".to_owned() };
        let canary = galley(&["--config-source", "galley", "--revision", "canary"]);
        assert_eq!(canary, Some(("istio-galley-canary.istio-system.svc:9901".to_owned(), server)));
        let identity = "spiffe://td/ns/a/sa/b";
        let told = galley(&["--config-source", "galley", "--galley-address", "g:1", "--galley-identity", identity]);
        assert_eq!(told, Some(("g:1".to_owned(), mcp::Server::Named(identity.parse().unwrap()))));
    }
}
