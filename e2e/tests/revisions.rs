//! A second control plane beside the first: a namespace moves to it and back, by its label and by a tag, and the mesh stays one.

use anyhow::Context;
use ferromesh_crds::{MeshInstall, install::State};
use ferromesh_e2e::{CONTROL_PLANE, Cluster, Test, run, sample, within};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{env, fs, time::Duration};

/// A control plane from nothing, on a busy machine.
const HEALTHY: Duration = Duration::from_secs(180);
/// Pods that are made anew, and their first configuration.
const RESTARTED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_to_a_second_control_plane() {
    run("a_namespace_moves_to_a_second_control_plane", moved).await;
}

async fn moved(test: &Test) -> anyhow::Result<()> {
    let ended = moving(test).await;
    // Whatever became of it, the next test finds the mesh as it was.
    let tags = json!({"spec": {"tags": null}}).to_string();
    test.cluster.kubectl(&["patch", "meshinstall", "mesh", "--type=merge", "-p", &tags]).await?;
    test.cluster.kubectl(&["delete", "meshinstall", "canary", "--ignore-not-found", "--timeout=60s"]).await?;
    within(HEALTHY, "the default control plane is alone", async || alone(test).await).await?;
    test.mesh.install_chart(&[]).await?;
    ended
}

async fn moving(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    test.mesh.install_chart(&["revisions={canary}", "tags={prod}"]).await?;
    let before = versions(cluster).await?;
    let canary = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall",
        "metadata": {"name": "canary", "labels": {"e2e.ferromesh.dev/own": "true"}}, "spec": {"revision": "canary"}});
    cluster.apply("default", &canary.to_string()).await?;
    let (_, took) = within(HEALTHY, "the canary is healthy", async || healthy(cluster).await).await?;
    eprintln!("the canary was healthy {:.1} s after its MeshInstall", took.as_secs_f64());
    test.mesh.healthy().await?;
    anyhow::ensure!(versions(cluster).await? == before, "pods of the default control plane were replaced");

    let namespace = test.namespace().await?;
    deploy(cluster, &namespace).await?;
    served(test, &namespace, "default", "istio-pilot-").await?;

    let label = async |labels: &[&str]| cluster.kubectl(&[&["label", "namespace", &namespace, "--overwrite"], labels].concat()).await;
    label(&["istio-injection-", "istio.io/rev=canary"]).await?;
    within(RESTARTED, "the canary's status tells of pods that are to come", async || {
        let proxies = healthy(cluster).await?.status.and_then(|status| status.proxies).context("no proxies")?;
        anyhow::ensure!(proxies.outdated == Some(2), "{proxies:?}");
        Ok(())
    })
    .await?;
    restart(cluster, &namespace).await?;
    served(test, &namespace, "canary", "istio-pilot-canary-").await?;
    // One of each: they are one mesh.
    reached(cluster, &namespace).await?;

    tag(cluster, &["set", "prod", "--revision", "canary"]).await?;
    label(&["istio.io/rev=prod"]).await?;
    in_force(cluster, "canary").await?;
    restart(cluster, &namespace).await?;
    served(test, &namespace, "canary", "istio-pilot-canary-").await?;
    tag(cluster, &["set", "prod", "--revision", "default", "--overwrite"]).await?;
    in_force(cluster, "default").await?;
    restart(cluster, &namespace).await?;
    served(test, &namespace, "default", "istio-pilot-").await?;
    within(RESTARTED, "the canary is not used", async || {
        let status = healthy(cluster).await?.status.unwrap_or_default();
        anyhow::ensure!(status.revisions.iter().all(|revision| revision.in_use == Some(false)), "{:?}", status.revisions);
        Ok(())
    })
    .await?;

    cluster.kubectl(&["delete", "meshinstall", "canary", "--timeout=60s"]).await?;
    within(HEALTHY, "the default control plane is alone", async || alone(test).await).await?;
    anyhow::ensure!(versions(cluster).await? == before, "pods of the default control plane were replaced");
    Ok(())
}

/// Two workloads of bookinfo, of which the one can be asked from the other.
async fn deploy(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(sample("kube/bookinfo.yaml"))?;
    let of = |part: &&str, name: &str| part.contains(&format!("app: {name}")) || part.contains(&format!("account: {name}"));
    let parts = text.split("\n---\n").filter(|part| of(part, "details") || of(part, "productpage"));
    let mut documents = parts.collect::<Vec<_>>().join("\n---\n");
    if let Ok(hub) = env::var("HUB") {
        documents = documents.replace("image: ferromesh/", &format!("image: {hub}/"));
    }
    cluster.apply(namespace, &documents).await
}

/// The MeshInstall of the canary, once it is healthy.
async fn healthy(cluster: &Cluster) -> anyhow::Result<MeshInstall> {
    let canary = Api::<MeshInstall>::all(cluster.client()).get("canary").await?;
    let status = canary.status.clone().unwrap_or_default();
    anyhow::ensure!(status.observed_generation == canary.metadata.generation, "the operator has not seen the last generation");
    anyhow::ensure!(status.state == Some(State::Healthy), "{:?}", status.conditions);
    Ok(canary)
}

/// The pods of the default control plane, by which it shows whether anything was replaced.
async fn versions(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let pods = cluster.api::<Pod>(CONTROL_PLANE).list(&ListParams::default().labels("istio.io/rev=default")).await?;
    let mut uids: Vec<String> = pods.iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    Ok(uids)
}

async fn alone(test: &Test) -> anyhow::Result<()> {
    let deployments = test.cluster.api::<Deployment>(CONTROL_PLANE).list(&ListParams::default()).await?;
    let left: Vec<String> = deployments.iter().map(ResourceExt::name_any).filter(|name| name.ends_with("-canary")).collect();
    anyhow::ensure!(left.is_empty(), "left: {left:?}");
    let webhooks = test.mesh.webhooks().await?;
    anyhow::ensure!(webhooks.iter().all(|name| !name.ends_with("-canary")), "{webhooks:?}");
    test.mesh.healthy().await.map(drop)
}

async fn restart(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    cluster.kubectl(&["rollout", "restart", "deployment", "-n", namespace]).await?;
    cluster.kubectl(&["rollout", "status", "deployment", "-n", namespace, "--timeout=120s"]).await.map(drop)
}

/// Waits until all pods have the sidecar of that revision, and its pilot serves them all there is.
async fn served(test: &Test, namespace: &str, revision: &str, pilot: &str) -> anyhow::Result<()> {
    let others = if revision == "default" { "istio-pilot-canary-" } else { "none" };
    within(RESTARTED, &format!("{revision} serves all pods"), async || {
        let pods = test.cluster.ready_pods(namespace, "app").await?;
        for pod in &pods {
            let status: Value = serde_json::from_str(pod.annotations().get("sidecar.istio.io/status").context("no sidecar")?)?;
            anyhow::ensure!(status["revision"] == revision, "{}: {status}", pod.name_any());
        }
        let said = test.cluster.ferromesh(&["proxy-status", "-n", namespace, "-o", "json"]).await?.checked()?;
        let proxies: Vec<Value> = serde_json::from_str(&said)?;
        let serves = |proxy: &Value| proxy["pilot"].as_str().is_some_and(|name| name.starts_with(pilot) && !name.starts_with(others));
        anyhow::ensure!(proxies.len() == pods.len() && proxies.iter().all(serves), "{said}");
        Ok(())
    })
    .await
    .map(drop)
}

/// The page asks for details by mutual TLS, whoever serves its proxy.
async fn reached(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    cluster.kubectl(&["label", "namespace", namespace, "--overwrite", "istio.io/rev=default"]).await?;
    cluster.kubectl(&["rollout", "restart", "deployment/details-v1", "-n", namespace]).await?;
    cluster.kubectl(&["rollout", "status", "deployment/details-v1", "-n", namespace, "--timeout=120s"]).await?;
    let strict = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
        "spec": {"mtls": {"mode": "STRICT"}}});
    cluster.apply(namespace, &strict.to_string()).await?;
    within(RESTARTED, "the page shows details", async || {
        let page = ferromesh_e2e::Forward::to(cluster, namespace, "service/productpage", 9080).await?;
        let text = page.visitor.page("/productpage", &[]).await?;
        anyhow::ensure!(text.contains("PublisherA"), "{text}");
        Ok(())
    })
    .await
    .map(drop)
}

async fn tag(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<()> {
    cluster.ferromesh(&[&["tag"], arguments].concat()).await?.checked().map(drop)
}

async fn in_force(cluster: &Cluster, revision: &str) -> anyhow::Result<()> {
    within(RESTARTED, &format!("prod stands for {revision}"), async || {
        let said = cluster.ferromesh(&["tag", "list", "-o", "json"]).await?.checked()?;
        let rows: Value = serde_json::from_str(&said)?;
        anyhow::ensure!(rows[0]["inForce"] == revision, "{said}");
        Ok(())
    })
    .await
    .map(drop)
}
