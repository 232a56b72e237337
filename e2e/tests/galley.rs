//! Galley: what users read when they apply, what objects say of themselves, and what happens when galley is away.

use anyhow::Context;
use ferromesh_crds::networking::VirtualService;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, OPERATOR, Test, run, within};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::drift::{gone, scale, selector};

/// How soon the webhook's configuration is right again after an edit.
const MENDED: Duration = Duration::from_secs(2);
/// How soon a new pod of galley's answers, on a busy machine.
const STARTED: Duration = Duration::from_secs(60);
const GALLEY: &str = "istio-galley";

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_mesh_is_warned_of() {
    run("what_does_not_fit_the_mesh_is_warned_of", warned).await;
}

async fn warned(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let routes = |gateways: Value, destination: Value| {
        object(
            "VirtualService",
            "warned",
            json!({"hosts": ["warned"], "gateways": gateways, "http": [{"route": [{"destination": destination}]}]}),
        )
    };
    let known = json!({"host": format!("istio-pilot.{CONTROL_PLANE}.svc.cluster.local"), "port": {"number": 15012}});
    let subset = json!({"host": format!("istio-pilot.{CONTROL_PLANE}.svc.cluster.local"), "port": {"number": 15012}, "subset": "nobody"});
    let cases = [
        ("a gateway that isn't there", routes(json!(["nowhere"]), known.clone()), "spec.gateways[0]"),
        ("a host that isn't there", routes(json!(["mesh"]), json!({"host": "nowhere"})), "spec.http[0].route[0].destination.host"),
        ("a subset that isn't there", routes(json!(["mesh"]), subset), "spec.http[0].route[0].destination"),
    ];
    for (what, object, path) in &cases {
        // Galley may have started a moment ago, and not know the mesh yet.
        within(Duration::from_secs(10), what, async || {
            let said = test.cluster.try_kubectl(&["apply", "-n", &namespace, "-f", "-"], Some(&object.to_string())).await?;
            anyhow::ensure!(said.ok, "it is refused: {}", said.err.trim());
            let warned = said.err.lines().any(|line| line.starts_with("Warning: ") && line.contains(path) && line.contains("(IST0101)"));
            anyhow::ensure!(warned, "no warning about {path}: {:?}", said.err);
            Ok(())
        })
        .await?;
    }
    for (kind, spec) in wrong() {
        let said =
            test.cluster.try_kubectl(&["apply", "-n", &namespace, "-f", "-"], Some(&object(kind, "wrong", spec).to_string())).await?;
        eprintln!("{kind}: {}", said.err.trim());
        anyhow::ensure!(!said.ok, "a wrong {kind} is accepted");
    }
    Ok(())
}

/// What each of these kinds is refused for.
fn wrong() -> [(&'static str, Value); 6] {
    let port = |protocol: &str| json!({"number": 80, "name": "http", "protocol": protocol});
    [
        ("DestinationRule", json!({"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v1"}]})),
        ("Gateway", json!({"selector": {"a": "b"}, "servers": [{"port": port("NONSENSE"), "hosts": ["a.example"]}]})),
        ("PeerAuthentication", json!({"portLevelMtls": {"8080": {"mode": "STRICT"}}})),
        ("ServiceEntry", json!({"hosts": ["a_b.example"], "ports": [port("HTTP")], "resolution": "DNS"})),
        ("Sidecar", json!({"egress": [{"hosts": ["no-slash"]}]})),
        ("VirtualService", json!({"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "a_b"}}]}]})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhooks_configuration_is_mended_at_once() {
    run("the_webhooks_configuration_is_mended_at_once", mended).await;
}

async fn mended(test: &Test) -> anyhow::Result<()> {
    let webhooks = Api::<ValidatingWebhookConfiguration>::all(test.cluster.client());
    let wanted = webhooks.get(GALLEY).await?.webhooks;
    let rules = wanted.iter().flatten().flat_map(|webhook| webhook.rules.iter().flatten());
    let groups: Vec<&str> = rules.flat_map(|rule| rule.api_groups.iter().flatten()).map(String::as_str).collect();
    anyhow::ensure!(groups.contains(&"security.istio.io") && !groups.contains(&"install.ferromesh.dev"), "{groups:?}");
    let weakened =
        json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}, {"op": "remove", "path": "/webhooks/0/rules/0"}]);
    webhooks.patch(GALLEY, &PatchParams::default(), &Patch::<()>::Json(serde_json::from_value(weakened)?)).await?;
    let right = async || {
        let now = webhooks.get(GALLEY).await?.webhooks;
        anyhow::ensure!(now == wanted, "{now:?}");
        Ok(())
    };
    let (_, took) = within(MENDED, "the edit is undone", right).await?;
    eprintln!("the edit was undone after {} ms", took.as_millis());
    webhooks.delete(GALLEY, &DeleteParams::default()).await?;
    let (_, took) = within(MENDED, "the configuration is back", right).await?;
    eprintln!("the configuration was back after {} ms", took.as_millis());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_past_galley_says_so_itself() {
    run("what_was_stored_past_galley_says_so_itself", stored_past).await;
}

async fn stored_past(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let objects = test.cluster.api::<VirtualService>(&namespace);
    objects.create(&PostParams::default(), &routes("before", &[100])?).await?;
    within(STARTED, "a good object is accepted", async || accepted(&objects, "before", "True").await).await?;
    // The operator first, or it would bring galley back.
    scale(&test.cluster, OPERATOR, "ferromesh-operator", 0).await?;
    let ended = without_galley(test, &namespace, &objects).await;
    scale(&test.cluster, OPERATOR, "ferromesh-operator", 1).await?;
    ended?;

    within(STARTED, "the bad object says that it is not accepted", async || accepted(&objects, "bad", "False").await).await?;
    let bad = objects.get("bad").await?.status.unwrap_or_default();
    let condition = bad.conditions.iter().find(|condition| condition.type_ == "Accepted").context("no condition")?;
    anyhow::ensure!(condition.reason.as_deref() == Some("Invalid"), "{condition:?}");
    anyhow::ensure!(!bad.validation_messages.is_empty(), "no validation message");
    within(STARTED, "an event tells of it", async || {
        let events = test.cluster.kubectl(&["events", "-n", &namespace, "--for", "virtualservice/bad", "--types=Warning"]).await?;
        anyhow::ensure!(events.contains("Invalid"), "{events}");
        Ok(())
    })
    .await?;
    within(STARTED, "the operator counts on galley again", async || {
        let webhooks = Api::<ValidatingWebhookConfiguration>::all(test.cluster.client()).get(GALLEY).await?.webhooks;
        let firm = webhooks.iter().flatten().all(|webhook| webhook.failure_policy.as_deref() == Some("Fail"));
        anyhow::ensure!(firm, "{webhooks:?}");
        test.mesh.healthy().await
    })
    .await?;
    // What is no matter of galley's went on.
    let before = objects.get("before").await?;
    anyhow::ensure!(before.labels().contains_key("while"), "the label did not stay");
    let generation = before.status.and_then(|status| status.observed_generation);
    anyhow::ensure!(generation.is_some(), "the status did not stay");
    Ok(())
}

/// The documented outcome while galley has no pod: under `Fail` nothing is stored, and metadata and deletions pass; under `Ignore`
/// everything is stored.
async fn without_galley(test: &Test, namespace: &str, objects: &Api<VirtualService>) -> anyhow::Result<()> {
    gone(&test.cluster, OPERATOR, "ferromesh-operator").await?;
    objects.create(&PostParams::default(), &routes("deleted", &[100])?).await?;
    scale(&test.cluster, CONTROL_PLANE, GALLEY, 0).await?;
    gone(&test.cluster, CONTROL_PLANE, GALLEY).await?;

    let error = objects.create(&PostParams::default(), &routes("good", &[100])?).await.err().context("stored without galley")?;
    anyhow::ensure!(error.to_string().contains("failed calling webhook"), "{error}");
    test.cluster.kubectl(&["label", "virtualservices.networking.istio.io", "before", "-n", namespace, "while=away"]).await?;
    objects.delete("deleted", &DeleteParams::default()).await?;

    let webhooks = Api::<ValidatingWebhookConfiguration>::all(test.cluster.client());
    let count = webhooks.get(GALLEY).await?.webhooks.map_or(0, |webhooks| webhooks.len());
    let weakened: Vec<Value> =
        (0..count).map(|place| json!({"op": "replace", "path": format!("/webhooks/{place}/failurePolicy"), "value": "Ignore"})).collect();
    webhooks.patch(GALLEY, &PatchParams::default(), &Patch::<()>::Json(serde_json::from_value(weakened.into())?)).await?;
    let bad = unreadable("bad")?;
    within(Duration::from_secs(20), "the API server ignores the absence of galley", async || {
        Ok(objects.create(&PostParams::default(), &bad).await.map(drop)?)
    })
    .await
    .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn galley_killed_stores_nothing_wrong() {
    run("galley_killed_stores_nothing_wrong", killed).await;
}

async fn killed(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let objects = test.cluster.api::<VirtualService>(&namespace);
    let (mut stored, mut refused, mut unanswered) = (0, 0, 0);
    let mut number = 0;
    for _ in 0..2 {
        let before = kill(&test.cluster).await?;
        let started = Instant::now();
        // Until another process answers, and a moment longer: the old one may do so until its kubelet has killed it.
        let mut answers = 0;
        while answers < 20 || !replaced(&test.cluster, &before).await? {
            anyhow::ensure!(started.elapsed() < STARTED, "galley does not answer again");
            number += 1;
            match objects.create(&PostParams::default(), &routes(&format!("good-{number}"), &[100])?).await {
                Ok(_) => (stored, answers) = (stored + 1, answers + 1),
                Err(error) if error.to_string().contains("failed calling webhook") => (unanswered, answers) = (unanswered + 1, 0),
                Err(error) => anyhow::bail!("a good object: {error}"),
            }
            let bad = unreadable(&format!("bad-{number}"))?;
            match objects.create(&PostParams::default(), &bad).await {
                Ok(_) => anyhow::bail!("a bad object was stored"),
                Err(error) if error.to_string().contains("denied the request") => refused += 1,
                Err(error) if error.to_string().contains("failed calling webhook") => unanswered += 1,
                Err(error) => anyhow::bail!("a bad object: {error}"),
            }
        }
        eprintln!("answered again {} ms after the kill", started.elapsed().as_millis());
    }
    eprintln!("{stored} stored, {refused} refused, {unanswered} without an answer");
    let bad: Vec<String> =
        objects.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("bad")).collect();
    anyhow::ensure!(bad.is_empty(), "stored: {bad:?}");
    anyhow::ensure!(refused > 0, "nothing was refused");
    within(STARTED, "the mesh is healthy again", async || test.mesh.healthy().await).await?;
    Ok(())
}

/// SIGKILL for all of galley's processes, by way of their kubelets; returns the names of their pods.
async fn kill(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let selector = selector(cluster, CONTROL_PLANE, GALLEY).await?;
    let killed = cluster.pods(CONTROL_PLANE, &selector).await?.iter().map(ResourceExt::name_any).collect();
    let command = ["delete", "pods", "-n", CONTROL_PLANE, "-l", &selector, "--force", "--grace-period=0", "--wait=false"];
    cluster.kubectl(&command).await?;
    Ok(killed)
}

/// Whether galley's pods are all ready, and others than those.
async fn replaced(cluster: &Cluster, before: &[String]) -> anyhow::Result<bool> {
    let selector = selector(cluster, CONTROL_PLANE, GALLEY).await?;
    let ready = cluster.ready_pods(CONTROL_PLANE, &selector).await.unwrap_or_default();
    Ok(!ready.is_empty() && ready.iter().all(|pod| !before.contains(&pod.name_any())))
}

/// Whether an object says that it is accepted, or that it is not.
async fn accepted(objects: &Api<VirtualService>, name: &str, wanted: &str) -> anyhow::Result<()> {
    let status = objects.get(name).await?.status.unwrap_or_default();
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Accepted").context("no condition Accepted")?;
    anyhow::ensure!(condition.status.as_deref() == Some(wanted), "{condition:?}");
    Ok(())
}

fn routes(name: &str, weights: &[u32]) -> anyhow::Result<VirtualService> {
    let route: Vec<Value> = weights.iter().map(|weight| json!({"destination": {"host": name}, "weight": weight})).collect();
    Ok(serde_json::from_value(object("VirtualService", name, json!({"hosts": [name], "http": [{"route": route}]})))?)
}

/// A VirtualService that schema and CEL accept, and galley alone refuses: for its regular expression.
fn unreadable(name: &str) -> anyhow::Result<VirtualService> {
    let rule = json!({"match": [{"uri": {"regex": "("}}], "route": [{"destination": {"host": name}}]});
    Ok(serde_json::from_value(object("VirtualService", name, json!({"hosts": [name], "http": [rule]})))?)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let group = if kind == "PeerAuthentication" { "security" } else { "networking" };
    json!({"apiVersion": format!("{group}.istio.io/v1"), "kind": kind, "metadata": {"name": name}, "spec": spec})
}
