//! How traffic comes to the proxy: names that no DNS server knows, and who calls as the application sees it.

use anyhow::Context;
use ferromesh_e2e::{Cluster, Test, run, shared, within};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// A pod, its image already on the node, and its first configuration.
const START: Duration = Duration::from_secs(90);
/// A change on its way to every proxy and agent.
const EFFECTIVE: Duration = Duration::from_secs(20);
const HOST: &str = "shop.outside.example";
/// No address is given to what one name does not stand for.
const WILDCARD: &str = "*.wild.outside.example";
/// Of a range for documentation.
const NOBODY: &str = "192.0.2.7";

#[tokio::test(flavor = "multi_thread")]
async fn agents_answer_for_hosts_that_no_dns_server_knows() {
    run("agents_answer_for_hosts_that_no_dns_server_knows", names).await;
}

async fn names(test: &Test) -> anyhow::Result<()> {
    let (inside, outside, cluster) = (test.namespace().await?, test.unlabelled_namespace().await?, &test.cluster);
    let capture = "proxy.istio.io/config: 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\"}'";
    cluster.apply(&inside, &annotated("sleep", capture)?).await?;
    cluster.apply_file(&outside, &shared("samples/httpbin.yaml")?).await?;
    let (servers, _) = within(START, "client and server are ready", async || {
        cluster.ready_pods(&inside, "app=sleep").await?;
        cluster.ready_pods(&outside, "app=httpbin").await
    })
    .await?;
    let server = address(&servers[0])?;

    let unknown = ask(cluster, &inside, &format!("http://{HOST}/headers")).await;
    anyhow::ensure!(unknown.is_err_and(|error| format!("{error:#}").contains("Could not resolve")), "somebody knows {HOST}");
    // What the mesh does not know is asked of the cluster's server, and what both know is answered.
    ask(cluster, &inside, &format!("http://httpbin.{outside}:8000/headers")).await.context("a Service of the cluster")?;

    cluster.apply(&inside, &entry("outside", HOST, &[], &server)).await?;
    cluster.apply(&inside, &entry("wild", WILDCARD, &[NOBODY], &server)).await?;
    for host in [HOST, "any.wild.outside.example"] {
        let url = format!("http://{host}/headers");
        let (answer, took) = within(EFFECTIVE, &format!("{host} is reached"), async || ask(cluster, &inside, &url).await).await?;
        eprintln!("{host} was reached after {} ms", took.as_millis());
        anyhow::ensure!(answer["headers"]["Host"] == host, "{answer}");
    }
    // The address is the mesh's own, of which nobody else knows.
    let shown = curl(cluster, &inside, &["--verbose", "--output", "/dev/null", "--stderr", "-", &format!("http://{HOST}/headers")]).await?;
    anyhow::ensure!(shown.contains("240.240."), "{shown}");

    cluster.kubectl(&["delete", "serviceentry", "outside", "-n", &inside]).await?;
    within(EFFECTIVE, "the name is forgotten", async || {
        let gone = ask(cluster, &inside, &format!("http://{HOST}/headers")).await;
        anyhow::ensure!(gone.is_err_and(|error| format!("{error:#}").contains("Could not resolve")), "it is still known");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tproxy_keeps_the_clients_address() {
    run("tproxy_keeps_the_clients_address", transparent).await;
}

async fn transparent(test: &Test) -> anyhow::Result<()> {
    let (inside, plain, outside, cluster) =
        (test.namespace().await?, test.namespace().await?, test.unlabelled_namespace().await?, &test.cluster);
    cluster.apply(&inside, &annotated("httpbin", "sidecar.istio.io/interceptionMode: TPROXY")?).await?;
    cluster.apply_file(&plain, &shared("samples/httpbin.yaml")?).await?;
    cluster.apply_file(&plain, &shared("samples/sleep.yaml")?).await?;
    cluster.apply_file(&outside, &shared("samples/sleep.yaml")?).await?;
    let pod = async |namespace: &str, app: &str| {
        let label = format!("app={app}");
        let (pods, _) = within(START, &format!("{app} is ready"), async || cluster.ready_pods(namespace, &label).await).await?;
        address(&pods[0])
    };
    let (transparent, redirected) = (pod(&inside, "httpbin").await?, pod(&plain, "httpbin").await?);
    let (meshed, other) = (pod(&plain, "sleep").await?, pod(&outside, "sleep").await?);
    for (namespace, client) in [(&outside, &other), (&plain, &meshed)] {
        let seen = async |server: &str| anyhow::Ok(ask(cluster, namespace, &format!("http://{server}/ip")).await?["origin"].take());
        within(EFFECTIVE, "the application sees who calls", async || {
            let seen = seen(&transparent).await?;
            anyhow::ensure!(seen == **client, "it sees {seen} and not {client}");
            Ok(())
        })
        .await?;
        let seen = seen(&redirected).await?;
        anyhow::ensure!(seen == "127.0.0.6", "without TPROXY it sees {seen}");
    }
    // By its Service, and so by mTLS.
    let by_name = ask(cluster, &plain, &format!("http://httpbin.{inside}:8000/headers")).await?;
    anyhow::ensure!(by_name["headers"]["X-Forwarded-Client-Cert"].is_string(), "not by mTLS: {by_name}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn iptables_redirects_where_a_kernel_has_no_nf_tables() {
    run("iptables_redirects_where_a_kernel_has_no_nf_tables", by_iptables).await;
}

async fn by_iptables(test: &Test) -> anyhow::Result<()> {
    let (namespace, cluster) = (test.namespace().await?, &test.cluster);
    // The pod's own word on its init container: it writes as if there was nothing else, with the right that this takes.
    let init = json!({
        "name": "istio-init", "image": "auto", "env": [{"name": "REDIRECT_BACKEND", "value": "iptables"}],
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}},
    });
    cluster.apply_file(&namespace, &shared("samples/httpbin.yaml")?).await?;
    cluster.apply(&namespace, &with_init_container("sleep", &init)?).await?;
    within(START, "client and server are ready", async || {
        cluster.ready_pods(&namespace, "app=httpbin").await?;
        cluster.ready_pods(&namespace, "app=sleep").await
    })
    .await?;
    let logs = cluster.kubectl(&["logs", "deployment/sleep", "-n", &namespace, "-c", "istio-init"]).await?;
    anyhow::ensure!(logs.contains("iptables"), "{logs}");
    // Who is redirected speaks the mesh's mTLS, which no application does.
    let (answer, _) = within(EFFECTIVE, "httpbin answers", async || ask(cluster, &namespace, "http://httpbin:8000/headers").await).await?;
    anyhow::ensure!(answer["headers"]["X-Forwarded-Client-Cert"].is_string(), "not by mTLS: {answer}");
    Ok(())
}

/// A sample whose pods have an init container of their own.
fn with_init_container(sample: &str, container: &Value) -> anyhow::Result<String> {
    let text = fs::read_to_string(shared(&format!("samples/{sample}.yaml"))?)?;
    anyhow::ensure!(text.contains("      containers:\n"), "the sample {sample} has another form");
    Ok(text.replacen("      containers:\n", &format!("      initContainers: [{container}]\n      containers:\n"), 1))
}

/// A sample whose pods have that annotation.
fn annotated(sample: &str, annotation: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(shared(&format!("samples/{sample}.yaml"))?)?;
    let template = format!("    metadata:\n      labels:\n        app: {sample}");
    anyhow::ensure!(text.contains(&template), "the sample {sample} has another form");
    Ok(text.replace(&template, &template.replacen("metadata:\n", &format!("metadata:\n      annotations:\n        {annotation}\n"), 1)))
}

fn address(pod: &Pod) -> anyhow::Result<String> {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod without address")
}

/// A host, by these addresses or the one that the mesh gives it, and where it is.
fn entry(name: &str, host: &str, addresses: &[&str], server: &str) -> String {
    let spec = json!({
        "hosts": [host], "addresses": addresses, "location": "MESH_EXTERNAL", "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 80}],
        "endpoints": [{"address": server}],
    });
    json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name}, "spec": spec}).to_string()
}

async fn curl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let common = ["curl", "--silent", "--show-error", "--fail", "--max-time", "5"];
    cluster.exec(namespace, "sleep", "sleep", &[&common, arguments].concat()).await?.checked()
}

/// What the server says, in JSON.
async fn ask(cluster: &Cluster, namespace: &str, url: &str) -> anyhow::Result<Value> {
    let body = curl(cluster, namespace, &[url]).await?;
    serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))
}
