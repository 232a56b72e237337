//! A server with several pods, and visitors who ask it through the ingress gateway at a steady rate, whatever happens meanwhile.

use ferromesh_e2e::{Ingress, Test, Visitor, sample, within};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

/// Requests a second, whether or not those before have been answered.
const RATE: u32 = 500;
/// How soon pods are there, on a busy machine.
pub(crate) const STARTED: Duration = Duration::from_secs(120);
/// The server, of which so many pods run.
pub(crate) const SERVER: &str = "details-v1";
pub(crate) const REPLICAS: i32 = 3;
/// Through the gateway to the server.
const HOST: &str = "rolling.example";
const PATH: &str = "/details/0";

/// Visitors at a steady rate.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

// === impl Load ===

impl Load {
    pub(crate) fn start(visitor: &Visitor) -> Self {
        let (stop, asked): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        let (visitor, stopped, count, started) = (visitor.clone(), stop.clone(), asked.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / RATE);
            // What the machine could not send in time is sent later, not left out.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut requests, mut failures) = (JoinSet::new(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                tokio::select! {
                    _ = ticks.tick() => {
                        let visitor = visitor.clone();
                        count.fetch_add(1, Ordering::Relaxed);
                        requests.spawn(async move { visitor.page(PATH, &[("host", HOST)]).await });
                    }
                    Some(ended) = requests.join_next() => failures.extend(failure(ended, started)),
                }
            }
            while let Some(ended) = requests.join_next().await {
                failures.extend(failure(ended, started));
            }
            failures
        });
        Self { stop, asked, task }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When a request has failed.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await?;
        let asked = self.asked.load(Ordering::Relaxed);
        eprintln!("{asked} requests, {} failed", failures.len());
        let shown = &failures[..failures.len().min(10)];
        anyhow::ensure!(failures.is_empty(), "{} of {asked} requests failed: {shown:#?}", failures.len());
        Ok(())
    }
}

/// What went wrong, and when.
fn failure(ended: Result<anyhow::Result<String>, tokio::task::JoinError>, started: Instant) -> Option<String> {
    let error = match ended {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    Some(format!("{:.2} s: {error}", started.elapsed().as_secs_f64()))
}

/// The server with its pods, and a way to it from outside.
pub(crate) async fn opened(test: &Test) -> anyhow::Result<(String, Ingress)> {
    let namespace = test.namespace().await?;
    let text = fs::read_to_string(sample("kube/bookinfo.yaml"))?;
    let mut server = text.split("\n---\n").filter(|document| document.contains("details")).collect::<Vec<_>>().join("\n---\n");
    if let Ok(hub) = env::var("HUB") {
        server = server.replace("image: ferromesh/", &format!("image: {hub}/"));
    }
    test.cluster.apply(&namespace, &server.replace("replicas: 1", &format!("replicas: {REPLICAS}"))).await?;
    let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    let gateway = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "rolling"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": [HOST]}]}});
    let route = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "rolling"},
        "spec": {"hosts": [HOST], "gateways": ["rolling"], "http": [{"route": [{"destination": {"host": "details"}}]}]}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [gateway, route]});
    test.cluster.apply(&namespace, &list.to_string()).await?;
    within(STARTED, "the server is complete", async || complete(test, &namespace).await).await?;
    let (ingress, _) = within(STARTED, "the gateway leads there", async || {
        let ingress = test.mesh.ingress().await?;
        ingress.visitor.page(PATH, &[("host", HOST)]).await?;
        Ok(ingress)
    })
    .await?;
    Ok((namespace, ingress))
}

/// Whether all pods of the server are new, ready and alone.
pub(crate) async fn complete(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let server = test.cluster.api::<Deployment>(namespace).get(SERVER).await?;
    let status = server.status.unwrap_or_default();
    let counts = [status.replicas, status.updated_replicas, status.available_replicas].map(Option::unwrap_or_default);
    anyhow::ensure!(status.observed_generation >= server.metadata.generation, "the last change has not been seen");
    anyhow::ensure!(counts == [REPLICAS; 3], "pods, new ones, available ones: {counts:?}");
    Ok(())
}
