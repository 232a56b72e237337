//! Who calls is proven, and calls are sealed; who is outside of the mesh still gets in until he is shut out.

use anyhow::Context;
use ferromesh_e2e::{Cluster, Test, run, shared, within};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

/// What a peer's proxy says of its client, and what nobody else may say.
const IDENTITY: &str = "X-Forwarded-Client-Cert";
const FORGED: &str = "x-forwarded-client-cert: By=spiffe://cluster.local/ns/x/sa/y;URI=spiffe://cluster.local/ns/evil/sa/evil";
/// Two pods, their images already on the node.
const START: Duration = Duration::from_secs(90);
/// A policy on its way to a proxy.
const EFFECTIVE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn servers_see_who_calls_and_nobody_can_pretend() {
    run("servers_see_who_calls_and_nobody_can_pretend", identities).await;
}

async fn identities(test: &Test) -> anyhow::Result<()> {
    let (server, client) = (shared("samples/httpbin.yaml")?, shared("samples/sleep.yaml")?);
    let (inside, outside) = (test.namespace().await?, test.unlabelled_namespace().await?);
    let cluster = &test.cluster;
    cluster.apply_file(&inside, &server).await?;
    cluster.apply_file(&inside, &client).await?;
    cluster.apply_file(&outside, &client).await?;
    within(START, "server and clients are ready", async || {
        anyhow::ensure!(cluster.ready_pods(&inside, "").await?.len() == 2, "there are to be two pods");
        cluster.ready_pods(&outside, "").await
    })
    .await?;

    let url = format!("http://httpbin.{inside}:8000/headers");
    let pod = cluster.ready_pods(&inside, "app=httpbin").await?.first().context("a pod of httpbin")?.name_any();
    let before = handshakes(cluster, &inside, &pod).await?;

    // Over mTLS: the identity that the certificate proves, and not the one that the client claims.
    let (headers, _) = within(EFFECTIVE, "the client in the mesh is answered", async || ask(cluster, &inside, &url).await).await?;
    let caller = headers[IDENTITY].as_str().with_context(|| format!("no identity reaches the server: {headers}"))?;
    let proven = format!("URI=spiffe://cluster.local/ns/{inside}/sa/sleep");
    anyhow::ensure!(caller.split([';', ',']).any(|part| part == proven), "{caller} does not say {proven}");
    anyhow::ensure!(!caller.contains("evil"), "a forged identity got through: {caller}");
    let after = handshakes(cluster, &inside, &pod).await?;
    anyhow::ensure!(after > before, "no TLS handshake at the server: {before} before, {after} after");

    // In plain text from outside: answered, and nobody in particular.
    let headers = ask(cluster, &outside, &url).await?;
    let claims = headers[IDENTITY].as_str().unwrap_or_default();
    anyhow::ensure!(!claims.contains("evil") && !claims.contains("URI="), "a client in plain text has an identity: {claims}");

    strict(cluster, &inside, &outside, &url).await
}

/// A policy shuts out plain text, and it alone.
async fn strict(cluster: &Cluster, inside: &str, outside: &str, url: &str) -> anyhow::Result<()> {
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
        "spec": {"mtls": {"mode": "STRICT"}},
    });
    cluster.apply(inside, &policy.to_string()).await?;
    within(EFFECTIVE, "plain text is refused", async || {
        anyhow::ensure!(ask(cluster, outside, url).await.is_err(), "it is answered");
        Ok(())
    })
    .await?;
    ask(cluster, inside, url).await.context("clients in the mesh are answered on").map(drop)
}

/// The request's headers as the server saw them, from a client of a namespace that claims to be somebody else.
async fn ask(cluster: &Cluster, namespace: &str, url: &str) -> anyhow::Result<Value> {
    let curl = ["curl", "--silent", "--show-error", "--fail", "--max-time", "5", "--header", FORGED, url];
    let body = cluster.exec(namespace, "sleep", "sleep", &curl).await?.checked()?;
    let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))?;
    Ok(answer["headers"].take())
}

/// TLS handshakes that the listeners of a pod's Envoy have finished.
async fn handshakes(cluster: &Cluster, namespace: &str, pod: &str) -> anyhow::Result<u64> {
    let envoy = cluster.envoy(namespace, pod).await?;
    let stats = envoy.visitor.page("/stats?filter=%5Elistener%5C..*ssl%5C.handshake%24", &[]).await?;
    let counts = stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok());
    Ok(counts.sum())
}
