//! What the plugin asks: a pod's network has been made, shall it be redirected?

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use std::{fs::File, path::PathBuf, time::Duration};
use tokio::time::timeout;

use super::{CniConfig, Redirect, decide::arguments, metrics::Metrics};
use crate::runtime::causes;

/// How long the API server may take. The kubelet tries again by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers the plugin. Clones share everything.
#[derive(Clone)]
pub(super) struct Questions {
    client: Client,
    redirect: Redirect,
    metrics: Metrics,
}

/// A network that has been made.
#[derive(Debug, Deserialize)]
pub(super) struct Network {
    /// The file of its namespace as the runtime sees it: for messages, since it may be out of reach from here.
    netns: PathBuf,
    /// `KEY=value;…`, in which Kubernetes names the pod.
    args: String,
}

/// What the plugin is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// All that had to be, which may have been nothing.
    Done,
    /// Why it could not be done.
    Failed(String),
}

/// Why a pod has no rules. The kubelet tells it as an event of the pod, and tries again.
#[derive(Debug, thiserror::Error)]
enum PluginError {
    #[error("the runtime does not name the pod: CNI_ARGS has no {0}")]
    Nameless(&'static str),
    #[error("pod {0} can't be looked up")]
    Api(String, #[source] Box<kube::Error>),
    #[error("pod {0} can't be looked up: the API server does not answer")]
    TimedOut(String),
    #[error("pod {0} is another one by now")]
    Another(String),
    #[error("pod {pod} can't be redirected: the runtime's plugin could not open the network namespace {}", netns.display())]
    Closed { pod: String, netns: PathBuf },
    #[error("pod {pod} can't be redirected: {reason}")]
    Redirect { pod: String, reason: String },
}

// === impl Questions ===

impl Questions {
    pub(super) fn new(client: Client, config: &CniConfig, metrics: Metrics) -> Self {
        Self { client, redirect: config.redirect.clone(), metrics }
    }

    /// Does what has to be done about a network, whose namespace is open if the plugin could open it.
    pub(super) async fn answer(&self, network: Network, namespace: Option<File>) -> Answer {
        match self.made(network, namespace).await {
            Ok(redirected) => {
                self.metrics.network(if redirected { "redirected" } else { "left alone" });
                Answer::Done
            }
            Err(error) => {
                let text = causes(&error);
                tracing::error!(error = text, "a pod's network is not redirected");
                self.metrics.network("failed");
                Answer::Failed(text)
            }
        }
    }

    /// Redirects a pod of the mesh that has been left to the node, and says whether it was one.
    async fn made(&self, network: Network, opened: Option<File>) -> Result<bool, PluginError> {
        let named = |key: &'static str| {
            let mut pairs = network.args.split(';').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let namespace = named("K8S_POD_NAMESPACE").ok_or(PluginError::Nameless("K8S_POD_NAMESPACE"))?;
        let name = named("K8S_POD_NAME").ok_or(PluginError::Nameless("K8S_POD_NAME"))?;
        let shown = || format!("{namespace}/{name}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = timeout(PATIENCE, pods.get_opt(name)).await.map_err(|_| PluginError::TimedOut(shown()))?;
        let found = found.map_err(|source| PluginError::Api(shown(), Box::new(source)))?;
        // A pod that is gone needs nothing any more, and the kubelet knows soon.
        let Some(pod) = found else { return Ok(false) };
        let Some(arguments) = arguments(&pod) else { return Ok(false) };
        // Rules of one pod must not come into another's network.
        if named("K8S_POD_UID").is_some_and(|uid| pod.metadata.uid.as_deref() != Some(uid)) {
            return Err(PluginError::Another(shown()));
        }
        let opened = opened.ok_or_else(|| PluginError::Closed { pod: shown(), netns: network.netns.clone() })?;
        self.redirect.put(arguments, opened).await.map_err(|reason| PluginError::Redirect { pod: shown(), reason })?;
        tracing::info!(pod = shown(), "redirected");
        Ok(true)
    }
}
