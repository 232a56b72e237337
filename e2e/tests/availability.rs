//! A control plane of two pods a part: both serve, and either may go.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, Test, run, within};
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::{
    creators::Creators,
    drift::{ROLES, STARTED, selector},
    injector::configure,
    shop::Shop,
    traffic::Traffic,
};

/// Who creates pods at once, so that both injectors are asked.
const CREATORS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_both_serve_and_either_may_go() {
    run("of_two_replicas_both_serve_and_either_may_go", doubled).await;
}

async fn doubled(test: &Test) -> anyhow::Result<()> {
    let parts = ["pilot", "citadel", "galley", "injector"].map(|part| (part, json!({"replicas": 2})));
    let gateway = json!({"name": "istio-ingressgateway", "autoscaling": {"minReplicas": 2, "maxReplicas": 3}});
    let components = Value::from_iter(parts);
    configure(test, &json!({"spec": {"components": components, "gateways": {"ingress": [gateway]}}})).await?;
    let ended = either(test).await;
    configure(test, &json!({"spec": {"components": null, "gateways": null}})).await?;
    ended
}

async fn either(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    for role in ROLES.into_iter().chain(["istio-ingressgateway"]) {
        within(STARTED, &format!("{role} has two pods, of which one may go"), async || {
            pods(cluster, role).await?;
            let budget = cluster.api::<PodDisruptionBudget>(CONTROL_PLANE).get(role).await?;
            let allowed = budget.status.map(|status| status.disruptions_allowed);
            anyhow::ensure!(allowed == Some(1), "{allowed:?} disruptions are allowed");
            Ok(())
        })
        .await?;
    }
    let shop = Shop::open(test).await?;
    both_pilots_serve(cluster, &shop.namespace).await?;

    let (traffic, creators) = (Traffic::start(&shop.ingress.visitor), Creators::start(cluster, &shop.namespace, CREATORS));
    for role in ROLES {
        for gone in pods(cluster, role).await? {
            cluster.api::<Pod>(CONTROL_PLANE).delete(&gone.name_any(), &DeleteParams::default()).await?;
            creators.go_on().await?;
            refuses(test, &shop.namespace).await.with_context(|| format!("while {} ends", gone.name_any()))?;
            within(STARTED, &format!("{role} has two pods that stay"), async || pods(cluster, role).await).await?;
        }
        // Certificates, configuration and admission come from pods that were not there before.
        shop.send_all_to("v2").await.with_context(|| format!("after {role}"))?;
    }
    creators.stop().await.context("a pod was refused, or came without its sidecar, while there was always an injector")?;
    traffic.stop().await.map(drop)
}

/// The two pods of a part, if they are ready and stay.
async fn pods(cluster: &Cluster, role: &str) -> anyhow::Result<Vec<Pod>> {
    let pods = cluster.ready_pods(CONTROL_PLANE, &selector(cluster, CONTROL_PLANE, role).await?).await?;
    anyhow::ensure!(pods.len() == 2, "{role} has {} pods", pods.len());
    Ok(pods)
}

/// Proxies are spread over the pilots. Chance may have sent all to one, so they are made anew until it has not.
async fn both_pilots_serve(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    within(STARTED, "both pilots serve", async || {
        let told = cluster.ferromesh(&["proxy-status", "-n", namespace, "-o", "json"]).await?.checked()?;
        let proxies: Vec<Value> = serde_json::from_str(&told)?;
        let pilots: BTreeSet<&str> = proxies.iter().filter_map(|proxy| proxy["pilot"].as_str()).collect();
        if pilots.len() < 2 {
            cluster.kubectl(&["rollout", "restart", "deployment", "-n", namespace]).await?;
            cluster.kubectl(&["rollout", "status", "deployment", "-n", namespace, "--timeout=60s"]).await?;
            anyhow::bail!("{} proxies, all at {pilots:?}", proxies.len());
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// The API server has somebody to ask whether a VirtualService is right.
async fn refuses(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let wrong = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "wrong"},
        "spec": {"hosts": ["reviews"], "http": [{"route": [
            {"destination": {"host": "reviews", "subset": "v1"}, "weight": 80}, {"destination": {"host": "reviews", "subset": "v2"}, "weight": 50}]}]}});
    let said = test.cluster.try_kubectl(&["create", "-n", namespace, "--dry-run=server", "-f", "-"], Some(&wrong.to_string())).await?;
    anyhow::ensure!(!said.ok && said.err.contains("weight"), "{}{}", said.out, said.err);
    Ok(())
}
