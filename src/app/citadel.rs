//! `ferromeshd citadel`.

use anyhow::Context;
use axum::Router;
use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use super::{Process, ProcessArgs};
use crate::citadel::{self, CitadelConfig};
use crate::config::mesh_config;
use crate::runtime::Listener;

/// Signs the certificates of workloads, and puts the root into every namespace.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  ferromeshd citadel --pod-name istio-citadel-0\n  ferromeshd citadel --pod-name istio-citadel-0 --default-lifetime 3600"
)]
pub struct CitadelArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where certificate requests are answered, by gRPC over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15012")]
    listen: SocketAddr,

    /// This pod's name.
    #[arg(long, env = "POD_NAME")]
    pod_name: String,

    /// The control plane's namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    namespace: String,

    /// The mesh's MeshConfig in YAML; only its trust domain matters here. Defaults hold if the file is absent.
    #[arg(long, value_name = "FILE", default_value = "/etc/istio/config/mesh")]
    mesh_config: PathBuf,

    /// Lifetime in seconds of certificates whose request names none.
    #[arg(long, value_name = "SECONDS", env = "DEFAULT_WORKLOAD_CERT_TTL_SECONDS", default_value_t = 86_400)]
    default_lifetime: u64,

    /// The longest lifetime in seconds that a certificate gets, whatever is asked for.
    #[arg(long, value_name = "SECONDS", env = "MAX_WORKLOAD_CERT_TTL_SECONDS", default_value_t = 86_400)]
    max_lifetime: u64,

    /// The MeshInstall that owns what citadel writes, as an ownerReference in JSON.
    #[arg(long, value_name = "JSON", env = "MESH_OWNER")]
    owner: Option<String>,
}

// === impl CitadelArgs ===

impl CitadelArgs {
    /// Runs citadel until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, there is no cluster, or a part of citadel died.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = self.config()?;
        let mut process = Process::new("citadel", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        citadel::start(config, client, listener, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    /// Raw arguments to meaningful ones.
    fn config(&self) -> anyhow::Result<CitadelConfig> {
        let owner = self.owner.as_deref().filter(|owner| !owner.is_empty());
        let owner: Option<OwnerReference> =
            owner.map(serde_json::from_str).transpose().context("--owner (MESH_OWNER) is not an ownerReference in JSON")?;
        anyhow::ensure!(self.default_lifetime > 0 && self.max_lifetime > 0, "certificate lifetimes must be at least one second");
        Ok(CitadelConfig {
            namespace: self.namespace.clone(),
            pod: self.pod_name.clone(),
            trust_domain: self.trust_domain()?,
            default_lifetime: Duration::from_secs(self.default_lifetime),
            max_lifetime: Duration::from_secs(self.max_lifetime),
            owner,
        })
    }

    fn trust_domain(&self) -> anyhow::Result<String> {
        let path = self.mesh_config.display();
        let text = match fs::read_to_string(&self.mesh_config) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("can't read {path}")),
        };
        let mesh = mesh_config(&text).map_err(|invalid| anyhow::anyhow!("{path}: {invalid}"))?;
        Ok(mesh.trust_domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        citadel: CitadelArgs,
    }

    fn config(arguments: &[&str]) -> anyhow::Result<CitadelConfig> {
        let fixed = ["citadel", "--pod-name", "istio-citadel-1"];
        Command::try_parse_from(fixed.iter().chain(arguments))?.citadel.config()
    }

    #[test]
    fn defaults_are_a_day_and_the_usual_trust_domain() {
        let config = config(&["--mesh-config", "/nonexistent"]).unwrap();
        assert_eq!((config.trust_domain.as_str(), config.namespace.as_str()), ("cluster.local", "istio-system"));
        assert_eq!(config.default_lifetime, Duration::from_secs(86_400));
        assert_eq!(config.owner, None);
    }

    #[test]
    fn the_mesh_config_names_the_trust_domain() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh");
        fs::write(&path, "trustDomain: shop.example\n").unwrap();
        assert_eq!(config(&["--mesh-config", path.to_str().unwrap()]).unwrap().trust_domain, "shop.example");
        fs::write(&path, "trustDomain: a/ns/b\n").unwrap();
        let error = config(&["--mesh-config", path.to_str().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("trustDomain: \"a/ns/b\""), "{error}");
    }

    #[test]
    fn a_bad_owner_is_named() {
        let error = config(&["--mesh-config", "/nonexistent", "--owner", "x"]).unwrap_err();
        assert!(error.to_string().contains("MESH_OWNER"), "{error}");
    }
}
