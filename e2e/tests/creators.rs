//! People who never stop creating pods.

use ferromesh_e2e::{Cluster, within};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

use crate::injector::{has_sidecar, pod};

/// So many, each creating one pod after the other in dry runs, until they are stopped.
pub(crate) struct Creators {
    number: usize,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    tasks: JoinSet<anyhow::Result<()>>,
}

// === impl Creators ===

impl Creators {
    /// Has `number` of them create pods in a namespace that is injected.
    pub(crate) fn start(cluster: &Cluster, namespace: &str, number: usize) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..number {
            tasks.spawn(create(cluster.api(namespace), stop.clone(), served.clone()));
        }
        Self { number, stop, served, tasks }
    }

    /// How many pods were created with a sidecar.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until each has created a few more.
    ///
    /// # Errors
    /// When they don't.
    pub(crate) async fn go_on(&self) -> anyhow::Result<()> {
        let before = self.served();
        within(Duration::from_secs(30), "pods are created", async || {
            anyhow::ensure!(self.served() > before + 2 * self.number, "too few yet");
            Ok(())
        })
        .await
        .map(drop)
    }

    /// Ends their work.
    ///
    /// # Errors
    /// When a pod was refused, or had no sidecar.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(created) = self.tasks.join_next().await {
            created??;
        }
        Ok(())
    }
}

async fn create(pods: Api<Pod>, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let asked = pod("web", &json!({"app": "web"}));
    while !stop.load(Ordering::Relaxed) {
        let created = pods.create(&dry_run, &asked).await?;
        anyhow::ensure!(has_sidecar(&created), "it has no sidecar");
        served.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
