//! What the plugin asks: a pod's network has been made, shall it be redirected?

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
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
    /// The node's processes.
    processes: PathBuf,
    metrics: Metrics,
}

/// A network that has been made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    /// The file of its namespace.
    netns: PathBuf,
    /// `KEY=value;…`, in which Kubernetes names the pod.
    args: String,
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
    #[error("pod {pod} can't be redirected: {reason}")]
    Redirect { pod: String, reason: String },
}

// === impl Questions ===

impl Questions {
    pub(super) fn new(client: Client, config: &CniConfig, metrics: Metrics) -> Self {
        Self { client, redirect: config.redirect.clone(), processes: config.processes.clone(), metrics }
    }

    /// The routes to serve to the plugin.
    pub(super) fn routes(self) -> Router {
        Router::new().route("/networks", post(answer)).with_state(self)
    }

    /// Redirects a pod of the mesh that has been left to the node, and says whether it was one.
    async fn made(&self, network: Network) -> Result<bool, PluginError> {
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
        let netns = seen_from_here(&network.netns, &self.processes);
        self.redirect.put(arguments, netns).await.map_err(|reason| PluginError::Redirect { pod: shown(), reason })?;
        tracing::info!(pod = shown(), "redirected");
        Ok(true)
    }
}

/// The node's file of a namespace. The usual folder of such files is mounted here; a runtime that has them elsewhere is followed through the
/// root of the node's first process.
fn seen_from_here(netns: &Path, processes: &Path) -> PathBuf {
    if netns.exists() {
        return netns.to_owned();
    }
    processes.join("1/root").join(netns.strip_prefix("/").unwrap_or(netns))
}

async fn answer(State(questions): State<Questions>, Json(network): Json<Network>) -> Result<(), (StatusCode, String)> {
    match questions.made(network).await {
        Ok(redirected) => {
            questions.metrics.network(if redirected { "redirected" } else { "left alone" });
            Ok(())
        }
        Err(error) => {
            let text = causes(&error);
            tracing::error!(error = text, "a pod's network is not redirected");
            questions.metrics.network("failed");
            Err((StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}
