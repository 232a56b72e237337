//! Mends pods of the node that started without their rules: before the plugin was there, or while this process was away.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use std::{collections::BTreeSet, convert::Infallible, fs::File, path::PathBuf, pin::pin};

use super::{
    CniConfig, Redirect,
    decide::{VALIDATION, arguments, is_broken},
    metrics::Metrics,
    namespace,
};
use crate::model::PodRepair;
use crate::runtime::{ReadyGuard, Shutdown, causes};

/// What such a pod is labelled with, as the reference does.
const LABEL: &str = "cni.istio.io/uninitialized";

/// Watches the node's pods.
pub(super) struct Repairs {
    client: Client,
    node: String,
    repair: PodRepair,
    processes: PathBuf,
    redirect: Redirect,
    metrics: Metrics,
    /// Failures that have been seen to, each by pod and number of starts: more than one event tells of each.
    seen: BTreeSet<(String, i32)>,
}

/// Why a pod could not be mended.
#[derive(Debug, thiserror::Error)]
enum RepairError {
    #[error("the API server does not take the change")]
    Api(#[from] Box<kube::Error>),
    #[error("none of its processes is found on the node")]
    NoProcess,
    #[error("the node's processes can't be listed")]
    Processes(#[from] std::io::Error),
    #[error("can't open {}", .0.display())]
    Namespace(PathBuf, #[source] std::io::Error),
    #[error("{0}")]
    Redirect(String),
}

// === impl Repairs ===

impl Repairs {
    pub(super) fn new(client: Client, config: &CniConfig, metrics: Metrics) -> Self {
        Self {
            client,
            node: config.node.clone(),
            repair: config.repair,
            processes: config.processes.clone(),
            redirect: config.redirect.clone(),
            metrics,
            seen: BTreeSet::new(),
        }
    }

    /// Runs until shutdown; releases `ready` once the first list is complete.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        if self.repair == PodRepair::Off {
            drop(ready);
            shutdown.requested().await;
            return Ok(());
        }
        let pods: Api<Pod> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        let mut events = pin!(watcher::watcher(pods, config).default_backoff());
        let mut ready = Some(ready);
        loop {
            let event = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Some(event) = events.next() => event,
            };
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => self.look(&pod).await,
                Ok(watcher::Event::Delete(pod)) => self.forget(&pod),
                Ok(watcher::Event::Init) => {}
                Ok(watcher::Event::InitDone) => drop(ready.take()),
                Err(error) => tracing::warn!(error = causes(&error), "watching pods failed; trying again"),
            }
        }
    }

    async fn look(&mut self, pod: &Pod) {
        let failure = (pod.uid().unwrap_or_default(), starts(pod));
        if !is_broken(pod) || !self.seen.insert(failure.clone()) {
            return;
        }
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        match self.mend(pod).await {
            Ok(()) => {
                self.metrics.repair(word(self.repair));
                tracing::info!(%namespace, %name, repair = %self.repair, "a pod had started without its rules: mended");
            }
            Err(error) => {
                // The next event, of the next start at the latest, is another chance.
                self.seen.remove(&failure);
                self.metrics.repair("failed");
                tracing::error!(error = causes(&error), %namespace, %name, "a pod without its rules can't be mended");
            }
        }
    }

    async fn mend(&self, pod: &Pod) -> Result<(), RepairError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        match self.repair {
            PodRepair::Off => Ok(()),
            PodRepair::Label => {
                if pod.labels().get(LABEL).is_some_and(|value| value == "true") {
                    return Ok(());
                }
                // With its uid the patch can't mean another pod of the name.
                let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid(), "labels": {LABEL: "true"}}}));
                pods.patch_metadata(&pod.name_any(), &PatchParams::default(), &patch).await.map_err(Box::new)?;
                Ok(())
            }
            PodRepair::Delete => {
                let only_this = Preconditions { uid: pod.uid(), resource_version: None };
                let parameters = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
                match pods.delete(&pod.name_any(), &parameters).await {
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                    deleted => deleted.map(|_| ()).map_err(|error| Box::new(error).into()),
                }
            }
            PodRepair::Fix => {
                let uid = pod.uid().unwrap_or_default();
                let found = namespace::of_pod(&self.processes, &uid)?.ok_or(RepairError::NoProcess)?;
                let namespace = File::open(&found).map_err(|source| RepairError::Namespace(found, source))?;
                let arguments = arguments(pod).unwrap_or_default();
                self.redirect.put(arguments, namespace).await.map_err(RepairError::Redirect)
            }
        }
    }

    fn forget(&mut self, pod: &Pod) {
        let gone = pod.uid().unwrap_or_default();
        self.seen.retain(|(uid, _)| *uid != gone);
    }
}

/// How often the container that looks for the rules has been started again.
fn starts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    statuses.filter(|status| status.name == VALIDATION).map(|status| status.restart_count).max().unwrap_or_default()
}

/// As metrics say it.
fn word(repair: PodRepair) -> &'static str {
    match repair {
        PodRepair::Fix => "fix",
        PodRepair::Delete => "delete",
        PodRepair::Label => "label",
        PodRepair::Off => "off",
    }
}
