//! What a MeshInstall can say beside its profile: a plan of changes, mutual TLS for all; and a gateway that is not its own.

use anyhow::Context;
use ferromesh_crds::{
    install::{ChangeAction, Plan},
    security::PeerAuthentication,
};
use ferromesh_e2e::{CONTROL_PLANE, Forward, MESH, Test, own, run, shared, within};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use std::time::Duration;

/// A pod, its image already on the node, and its first configuration.
const START: Duration = Duration::from_secs(90);
/// A change on its way, to the cluster or to proxies.
const EFFECTIVE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_listed_and_not_made() {
    run("a_plan_is_listed_and_not_made", planned).await;
}

async fn planned(test: &Test) -> anyhow::Result<()> {
    let result = plans(test).await;
    let back = json!({"spec": {"mode": null, "components": null}});
    patch(test, &back).await?;
    within(EFFECTIVE, "the mesh is healthy again", async || test.mesh.healthy().await).await?;
    result
}

async fn plans(test: &Test) -> anyhow::Result<()> {
    // What an API server has made of the objects is no difference.
    patch(test, &json!({"spec": {"mode": "Plan"}})).await?;
    let nothing = plan(test).await?;
    anyhow::ensure!(nothing.changes.is_empty() && nothing.unchanged > Some(20), "a mesh that is as it should be: {nothing:#?}");

    let more = json!({"spec": {"components": {"pilot": {"replicas": 2}, "galley": {"podAnnotations": {"note": "hello"}}}}});
    patch(test, &more).await?;
    let plan = plan(test).await?;
    let seen: Vec<Value> = plan
        .changes
        .iter()
        .map(|change| {
            let fields: Vec<Value> = change.fields.iter().map(|field| json!([field.path, field.from, field.to])).collect();
            json!([change.action, change.kind, change.name, fields])
        })
        .collect();
    let annotation = "spec.template.metadata.annotations.note";
    let wanted = [
        json!([ChangeAction::Update, "Deployment", "istio-pilot", [["spec.replicas", 1, 2]]]),
        json!([ChangeAction::Create, "PodDisruptionBudget", "istio-pilot", []]),
        json!([ChangeAction::Update, "Deployment", "istio-galley", [[annotation, null, "hello"]]]),
    ];
    anyhow::ensure!(seen == wanted, "{seen:#?}");
    let pilot = test.cluster.api::<Deployment>(CONTROL_PLANE).get("istio-pilot").await?;
    anyhow::ensure!(pilot.spec.and_then(|spec| spec.replicas) == Some(1), "it was made");
    Ok(())
}

/// The plan of the MeshInstall as it is.
async fn plan(test: &Test) -> anyhow::Result<Plan> {
    let (plan, _) = within(EFFECTIVE, "there is a plan", async || {
        let install = test.mesh.install().await?;
        let plan = install.status.and_then(|status| status.plan).context("no plan")?;
        anyhow::ensure!(plan.generation == install.metadata.generation, "of an earlier generation");
        Ok(plan)
    })
    .await?;
    Ok(plan)
}

async fn patch(test: &Test, patch: &Value) -> anyhow::Result<()> {
    test.cluster.kubectl(&["patch", "meshinstall", MESH, "--type", "merge", "-p", &patch.to_string()]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_sds_requires_mutual_tls() {
    run("the_profile_sds_requires_mutual_tls", strict).await;
}

async fn strict(test: &Test) -> anyhow::Result<()> {
    let policies = test.cluster.api::<PeerAuthentication>(CONTROL_PLANE);
    patch(test, &json!({"spec": {"profile": "sds"}})).await?;
    let found = within(EFFECTIVE, "there is a policy for the whole mesh", async || {
        let policy = policies.get("default").await?;
        let mode = serde_json::to_value(&policy.spec)?["mtls"]["mode"].clone();
        anyhow::ensure!(mode == "STRICT", "{mode}");
        test.mesh.healthy().await
    })
    .await;
    patch(test, &json!({"spec": {"profile": "default"}})).await?;
    within(EFFECTIVE, "the policy is gone", async || {
        anyhow::ensure!(policies.get_opt("default").await?.is_none(), "it is there");
        test.mesh.healthy().await
    })
    .await?;
    found.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_by_its_own_chart_serves() {
    run("a_gateway_by_its_own_chart_serves", alone).await;
}

async fn alone(test: &Test) -> anyhow::Result<()> {
    let (inside, edge, cluster) = (test.namespace().await?, test.unlabelled_namespace().await?, &test.cluster);
    cluster.apply_file(&inside, &shared("samples/httpbin.yaml")?).await?;
    let chart = own("charts/ferromesh-gateway");
    let chart = chart.to_str().context("the path is not UTF-8")?;
    cluster.helm(&["install", "edge", chart, "-n", &edge, "--set", "service.type=ClusterIP", "--wait", "--timeout", "2m"]).await?;
    within(START, "gateway and server are ready", async || {
        cluster.ready_pods(&inside, "app=httpbin").await?;
        let (pods, proxy) = (cluster.ready_pods(&edge, "istio=edge").await?, "ferromesh-proxy");
        let images: Vec<_> =
            pods.iter().flat_map(|pod| &pod.spec.as_ref().expect("a pod has a spec").containers).map(|one| &one.image).collect();
        anyhow::ensure!(images.iter().all(|image| image.as_ref().is_some_and(|image| image.contains(proxy))), "{images:?}");
        Ok(())
    })
    .await?;
    cluster.apply(&edge, &routes(&inside)).await?;
    let forward = Forward::to(cluster, &edge, "service/edge", 80).await?;
    let (page, _) =
        within(EFFECTIVE, "the server answers through the gateway", async || forward.visitor.page("/headers", &[]).await).await?;
    anyhow::ensure!(page.contains("Host"), "{page}");
    Ok(())
}

/// Everything that comes to the gateway goes to the server.
fn routes(namespace: &str) -> String {
    let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "edge"},
        "spec": {"selector": {"istio": "edge"}, "servers": [server]},
    });
    let host = format!("httpbin.{namespace}.svc.cluster.local");
    let routes = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "edge"},
        "spec": {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": [{"destination": {"host": host, "port": {"number": 8000}}}]}]},
    });
    format!("{gateway}\n---\n{routes}\n")
}
