//! Injection can't stop a cluster: what is not the mesh's business starts while the injector is away, and what was missed is meshed
//! afterwards.

use anyhow::Context;
use ferromesh_crds::MeshInstall;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, OPERATOR, Test, run, within};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::drift::{gone, scale};

/// An image that every test cluster has, and that does nothing.
const IMAGE: &str = "localhost/ferromesh/pause:1";
/// How soon a pod runs whose image is on the node.
const STARTED: Duration = Duration::from_secs(60);
/// How soon missed pods are meshed once the injector is back.
const MESHED: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_injects_whom_the_table_names() {
    run("the_api_server_injects_whom_the_table_names", matrix).await;
}

/// Pods are made in dry runs, in namespaces with every combination of labels: what the API server does is what check-inject says.
async fn matrix(test: &Test) -> anyhow::Result<()> {
    let namespace = test.unlabelled_namespace().await?;
    let namespaces: Api<Namespace> = Api::all(test.cluster.client());
    let pods = test.cluster.api::<Pod>(&namespace);
    for (injection, revision) in [None, Some("enabled"), Some("disabled"), Some("")]
        .into_iter()
        .flat_map(|it| [None, Some("default"), Some("canary")].map(|revision| (it, revision)))
    {
        let labels = json!({"metadata": {"labels": {"istio-injection": injection, "istio.io/rev": revision}}});
        namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&labels)).await?;
        for wish in [None, Some("true"), Some("false"), Some("yes")] {
            for pod_revision in [None, Some("default"), Some("canary")] {
                let mut labels = json!({"app": "web"});
                let given = [("sidecar.istio.io/inject", wish), ("istio.io/rev", pod_revision)];
                given.iter().filter_map(|(key, value)| Some((key, (*value)?))).for_each(|(key, value)| labels[*key] = json!(value));
                let told = told(test, &namespace, &labels).await?;
                let what = format!("namespace {injection:?} {revision:?}, pod {wish:?} {pod_revision:?}");
                // The webhook sees a namespace's labels only once the API server's own watch has.
                within(Duration::from_secs(20), &what, async || {
                    let made = pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod("web", &labels)).await?;
                    let injected = made.annotations().contains_key("sidecar.istio.io/status");
                    anyhow::ensure!(injected == told, "the API server says {injected}, check-inject {told}");
                    Ok(())
                })
                .await?;
            }
        }
    }
    Ok(())
}

/// What check-inject says of a pod with these labels.
async fn told(test: &Test, namespace: &str, labels: &Value) -> anyhow::Result<bool> {
    let pairs = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let labels = pairs.collect::<Vec<_>>().join(",");
    let arguments = ["experimental", "check-inject", "-n", namespace, "-l", &labels, "-o", "json"];
    let said = test.cluster.ferromesh(&arguments).await?.checked()?;
    serde_json::from_str::<Value>(&said)?["injected"].as_bool().context("an answer without verdict")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_without_an_injector_is_meshed_afterwards() {
    run("who_starts_without_an_injector_is_meshed_afterwards", lenient).await;
}

async fn lenient(test: &Test) -> anyhow::Result<()> {
    let lenient = json!({"spec": {"injection": {"failurePolicy": "Ignore"}, "updateStrategy": {"workloads": "Rolling"}}});
    configure(test, &lenient).await?;
    let ended = missed(test).await;
    configure(test, &json!({"spec": {"injection": null, "updateStrategy": null}})).await?;
    ended
}

async fn missed(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    let namespace = test.namespace().await?;
    let ended = async {
        away(cluster).await?;
        for name in ["one", "two"] {
            cluster.apply(&namespace, &deployment(name).to_string()).await?;
        }
        within(STARTED, "pods start without a sidecar", async || {
            let pods = cluster.ready_pods(&namespace, "").await?;
            anyhow::ensure!(pods.len() == 4 && pods.iter().all(|pod| !has_sidecar(pod)), "{} pods", pods.len());
            Ok(())
        })
        .await
    };
    let ended = ended.await;
    scale(cluster, CONTROL_PLANE, "istio-sidecar-injector", 1).await?;
    scale(cluster, OPERATOR, "ferromesh-operator", 1).await?;
    ended?;
    let deployments = cluster.api::<Deployment>(&namespace);
    let (_, took) = within(MESHED, "every pod has its sidecar", async || {
        let rolling = deployments.list(&ListParams::default()).await?.items.into_iter().filter(is_replacing).count();
        anyhow::ensure!(rolling <= 1, "{rolling} Deployments are restarted at once");
        let pods = cluster.ready_pods(&namespace, "").await?;
        anyhow::ensure!(
            pods.len() == 4 && pods.iter().all(has_sidecar),
            "{} of {} have one",
            pods.iter().filter(|it| has_sidecar(it)).count(),
            pods.len()
        );
        Ok(())
    })
    .await?;
    eprintln!("missed pods were meshed {:.1} s after the injector came back", took.as_secs_f64());
    within(STARTED, "the status counts none", async || {
        let proxies = test.mesh.install().await?.status.and_then(|status| status.proxies).context("no counts")?;
        anyhow::ensure!(proxies.missed == Some(0) && proxies.outdated == Some(0), "{proxies:?}");
        Ok(())
    })
    .await
    .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_injector_only_those_wait_who_ask_for_it() {
    run("without_an_injector_only_those_wait_who_ask_for_it", strict).await;
}

async fn strict(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    let (meshed, plain) = (test.namespace().await?, test.unlabelled_namespace().await?);
    let ended = async {
        away(cluster).await?;
        cluster.apply(&plain, &deployment("one").to_string()).await?;
        cluster.apply(&meshed, &deployment("one").to_string()).await?;
        for namespace in ["kube-system", CONTROL_PLANE] {
            let mut labels = json!({"app": "web"});
            if namespace == CONTROL_PLANE {
                labels = json!({"app.kubernetes.io/part-of": "ferromesh", "sidecar.istio.io/inject": "false"});
            }
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            cluster
                .api::<Pod>(namespace)
                .create(&dry_run, &pod("e2e-web", &labels))
                .await
                .with_context(|| format!("a pod of {namespace}"))?;
        }
        within(STARTED, "others start", async || cluster.ready_pods(&plain, "").await).await?;
        within(STARTED, "who asks for a sidecar waits, and is told why", async || {
            anyhow::ensure!(cluster.pods(&meshed, "").await?.is_empty(), "it does not wait");
            let events = cluster.kubectl(&["get", "events", "-n", &meshed, "-o", "yaml"]).await?;
            anyhow::ensure!(events.contains("sidecar-injector.istio.io"), "no event names the webhook");
            Ok(())
        })
        .await
    };
    let ended = ended.await;
    scale(cluster, CONTROL_PLANE, "istio-sidecar-injector", 1).await?;
    scale(cluster, OPERATOR, "ferromesh-operator", 1).await?;
    ended?;
    within(MESHED, "the waiting pods come by themselves, with a sidecar", async || {
        let pods = cluster.ready_pods(&meshed, "").await?;
        anyhow::ensure!(pods.len() == 2 && pods.iter().all(has_sidecar), "{} pods", pods.len());
        Ok(())
    })
    .await
    .map(drop)
}

/// Takes the injector away; the operator first, which would bring it back.
async fn away(cluster: &Cluster) -> anyhow::Result<()> {
    scale(cluster, OPERATOR, "ferromesh-operator", 0).await?;
    gone(cluster, OPERATOR, "ferromesh-operator").await?;
    scale(cluster, CONTROL_PLANE, "istio-sidecar-injector", 0).await?;
    gone(cluster, CONTROL_PLANE, "istio-sidecar-injector").await
}

/// Changes the MeshInstall and waits until the mesh is so.
pub(crate) async fn configure(test: &Test, patch: &Value) -> anyhow::Result<()> {
    let installs: Api<MeshInstall> = Api::all(test.cluster.client());
    let name = test.mesh.install().await?.name_any();
    installs.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    within(STARTED, "the mesh is as its MeshInstall says", async || test.mesh.healthy().await).await.map(drop)
}

/// A pod that only runs, in whatever namespace.
pub(crate) fn pod(name: &str, labels: &Value) -> Pod {
    let restricted = json!({"runAsNonRoot": true, "runAsUser": 65534, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}});
    let containers = json!([{"name": "app", "image": IMAGE, "imagePullPolicy": "Never", "securityContext": restricted}]);
    let object = json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}});
    serde_json::from_value(object).expect("a pod is one")
}

/// Two pods, of which one may be missing.
fn deployment(name: &str) -> Value {
    let containers = json!([{"name": "app", "image": IMAGE, "imagePullPolicy": "Never"}]);
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}});
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}});
    json!({"apiVersion": "v1", "kind": "List", "items": [budget, object]})
}

/// Whether pods of an older template are still being replaced.
fn is_replacing(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    status.replicas.unwrap_or(0) > status.updated_replicas.unwrap_or(0)
}

/// Whether the injector has been there.
pub(crate) fn has_sidecar(pod: &Pod) -> bool {
    pod.annotations().contains_key("sidecar.istio.io/status")
}
