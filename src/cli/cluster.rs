//! The way to a cluster: the arguments that choose it, as kubectl has them, and questions with a deadline.

use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{future::Future, path::PathBuf, time::Duration};

use super::{
    exit::{Exit, Failure},
    report::Form,
};
use crate::config::kubernetes::is_dns_label;

/// Which cluster, and as whom.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ClusterArgs {
    /// The kubeconfig file, in place of $KUBECONFIG and ~/.kube/config
    #[arg(short = 'c', long, value_name = "FILE", help_heading = "Cluster")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context, in place of the current one
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub(super) context: Option<String>,
    /// The user to act as
    #[arg(long = "as", value_name = "USER", help_heading = "Cluster")]
    pub(super) as_user: Option<String>,
}

/// Which mesh, where a cluster may have several.
#[derive(Args, Clone, Debug)]
pub(super) struct MeshArgs {
    /// The control plane's namespace
    #[arg(
        id = "istio_namespace",
        short = 'i',
        long = "istioNamespace",
        visible_alias = "istio-namespace",
        default_value = "istio-system",
        value_parser = namespace,
        value_name = "NAMESPACE"
    )]
    pub(super) namespace: String,
}

/// What a verb asks that looks at a mesh: which, in which cluster, and how it is to answer.
#[derive(Args, Clone, Debug)]
pub(super) struct AskedArgs {
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    pub(super) output: Form,
    #[command(flatten)]
    pub(super) mesh: MeshArgs,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    /// The namespace of the context.
    pub(super) namespace: String,
}

// === impl ClusterArgs ===

impl ClusterArgs {
    /// A client; the cluster has not been asked yet.
    ///
    /// # Errors
    /// When no cluster is configured.
    pub(super) async fn connect(&self) -> Result<Cluster, Failure> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(file) => Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?,
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                // A pod has no kubeconfig, and needs none unless a context is named.
                Err(error) if self.context.is_none() => Config::incluster().map_err(|_| error)?,
                Err(error) => return Err(error.into()),
            },
        };
        // The client takes for granted that there is one.
        if config.cluster_url.scheme().is_none() {
            let told = format!("no cluster to ask: {} is the kubeconfig's server: write https://HOST:PORT there", config.cluster_url);
            return Err(Failure::new(Exit::Unreachable, told));
        }
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| Failure::cluster("reach the cluster", &error))?;
        Ok(Cluster { client, namespace })
    }
}

/// Reads a namespace's name. What is none would lead to another place of the API, or to none.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let told = || "a namespace's name is lower-case letters, digits and -, 63 at most".to_owned();
    is_dns_label(text).then(|| text.to_owned()).ok_or_else(told)
}

/// Waits for what a cluster is asked, on a runtime of its own, but no longer than a time.
///
/// # Errors
/// Those of the question, and that it took too long.
pub(super) fn ask<T>(longest: Duration, question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    stay(async {
        let late = |_| Failure::new(Exit::TimedOut, format_args!("the cluster did not answer within {} s", longest.as_secs_f64()));
        tokio::time::timeout(longest, question).await.map_err(late)?
    })
}

/// Stays with a cluster, on a runtime of its own, for as long as the work takes.
///
/// # Errors
/// Those of the work.
pub(super) fn stay<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failed, error))?.block_on(work)
}
