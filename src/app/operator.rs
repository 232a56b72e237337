//! `ferromeshd operator`.

use anyhow::Context;
use axum::Router;
use clap::{Args, ValueEnum};
use kube::Client;
use std::net::SocketAddr;

use super::{Process, ProcessArgs};
use crate::operator::{self, CertificateSource, Images, OperatorConfig};
use crate::runtime::Listener;

/// Brings about and keeps what a MeshInstall describes.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  ferromeshd operator --pod-name ferromesh-operator-0\n  ferromeshd operator --pod-name ferromesh-operator-0 --webhook-certificates external"
)]
pub struct OperatorArgs {
    #[command(flatten)]
    process: ProcessArgs,

    /// Where the API server asks about MeshInstalls, by HTTPS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,

    /// This pod's name.
    #[arg(long, env = "POD_NAME")]
    pod_name: String,

    /// The operator's namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "ferromesh-system")]
    namespace: String,

    /// Registry and path of the mesh's images, where a MeshInstall names none.
    #[arg(long, env = "FERROMESH_HUB", default_value = "docker.io/ferromesh")]
    hub: String,

    /// Tag of the mesh's images, where a MeshInstall names none.
    #[arg(long, env = "FERROMESH_TAG", default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,

    /// When nodes fetch the mesh's images, where a MeshInstall doesn't say.
    #[arg(long, env = "FERROMESH_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: String,

    /// Who issues the webhooks' certificates.
    #[arg(long, env = "FERROMESH_WEBHOOK_CERTIFICATES", default_value = "operator")]
    webhook_certificates: Issuer,
}

/// Issuers of certificates, by the names that the chart uses.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Issuer {
    /// The operator itself.
    Operator,
    /// Somebody else, who keeps the Secrets: cert-manager, for example.
    External,
}

// === impl OperatorArgs ===

impl OperatorArgs {
    /// Runs the operator until it is told to end.
    ///
    /// # Errors
    /// When an argument can't be understood, a port is taken, there is no cluster, or a part of the operator died.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut process = Process::new("operator", &self.process).await?;
        let listener = Listener::bind(self.listen).await?;
        let client = Client::try_default().await.context("no access to the cluster's API")?;
        operator::start(self.config(), client, listener, &mut process.tasks, &process.readiness, &mut process.registry);
        process.run(Router::new()).await
    }

    /// Raw arguments to meaningful ones.
    fn config(&self) -> OperatorConfig {
        OperatorConfig {
            namespace: self.namespace.clone(),
            pod: self.pod_name.clone(),
            images: Images { hub: self.hub.clone(), tag: self.tag.clone(), pull_policy: self.image_pull_policy.clone() },
            certificates: match self.webhook_certificates {
                Issuer::Operator => CertificateSource::Own,
                Issuer::External => CertificateSource::External,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        operator: OperatorArgs,
    }

    fn config(arguments: &[&str]) -> Result<OperatorConfig, clap::Error> {
        let fixed = ["operator", "--pod-name", "ferromesh-operator-1"];
        Ok(Command::try_parse_from(fixed.iter().chain(arguments))?.operator.config())
    }

    #[test]
    fn defaults_are_the_charts() {
        let config = config(&[]).unwrap();
        assert_eq!((config.namespace.as_str(), config.images.tag.as_str()), ("ferromesh-system", env!("CARGO_PKG_VERSION")));
        assert_eq!(config.certificates, CertificateSource::Own);
    }

    #[test]
    fn what_the_chart_says_is_understood() {
        assert_eq!(config(&["--webhook-certificates", "external"]).unwrap().certificates, CertificateSource::External);
        assert!(config(&["--webhook-certificates", "nobody"]).is_err());
        assert!(config(&["--image-pull-policy", "Sometimes"]).is_err());
    }
}
