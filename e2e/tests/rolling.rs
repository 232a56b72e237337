//! Pods of a server come and go under load, and no request fails.

use anyhow::Context;
use ferromesh_e2e::{Test, run, within};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use std::time::{Duration, Instant};

use crate::load::{Load, REPLICAS, SERVER, STARTED, complete, opened};

/// How long servers are restarted.
const RESTARTING: Duration = Duration::from_secs(60);
/// How long pods are deleted: that is a dozen.
const DELETING: Duration = Duration::from_secs(30);
/// The pods of the server, once as many as it is to have are ready and stay. Its Deployment's status may be older than a deletion: by that,
/// the next pod would be deleted before the last one is replaced, until none is left to serve.
async fn serving(test: &Test, namespace: &str) -> anyhow::Result<Vec<Pod>> {
    let pods = test.cluster.ready_pods(namespace, "app=details").await?;
    anyhow::ensure!(i32::try_from(pods.len()) == Ok(REPLICAS), "{} pods of {REPLICAS}", pods.len());
    complete(test, namespace).await?;
    Ok(pods)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_restarted_without_a_failed_request() {
    run("a_server_is_restarted_without_a_failed_request", restarted).await;
}

async fn restarted(test: &Test) -> anyhow::Result<()> {
    let (namespace, ingress) = opened(test).await?;
    let load = Load::start(&ingress.visitor);
    let (started, mut restarts) = (Instant::now(), 0);
    while started.elapsed() < RESTARTING {
        let again =
            json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": restarts.to_string()}}}}});
        let servers = test.cluster.api::<Deployment>(&namespace);
        servers.patch(SERVER, &PatchParams::default(), &Patch::Merge(&again)).await?;
        restarts += 1;
        within(STARTED, "the server is complete again", async || complete(test, &namespace).await).await?;
    }
    eprintln!("{restarts} restarts of {REPLICAS} pods in {:.0} s", started.elapsed().as_secs_f64());
    load.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_deleted_without_a_failed_request() {
    run("pods_are_deleted_without_a_failed_request", deleted).await;
}

async fn deleted(test: &Test) -> anyhow::Result<()> {
    let (namespace, ingress) = opened(test).await?;
    let load = Load::start(&ingress.visitor);
    let (started, mut deletions) = (Instant::now(), 0);
    while started.elapsed() < DELETING {
        let (pods, _) = within(STARTED, "all pods serve", async || serving(test, &namespace).await).await?;
        // Pods' names are random, so any rule chooses at random; this one never the same twice.
        let chosen = pods.get(deletions % pods.len().max(1)).context("no pod")?.name_any();
        test.cluster.api::<Pod>(&namespace).delete(&chosen, &DeleteParams::default()).await?;
        deletions += 1;
    }
    within(STARTED, "the last one is replaced", async || serving(test, &namespace).await).await?;
    eprintln!("{deletions} pods deleted in {:.0} s", started.elapsed().as_secs_f64());
    load.stop().await
}
