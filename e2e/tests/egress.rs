//! Out of the mesh to a host by its name: straight from the sidecar, and through the egress gateway.
//!
//! No name of the world's leads anywhere in a closed cluster. A server of a namespace without sidecars stands in for one, at an address that
//! nobody has: whoever is answered was led there by the name.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, MESH, Test, run, shared, within};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

/// A pod, its image already on the node, and a gateway's first configuration.
const START: Duration = Duration::from_secs(90);
/// A change on its way to every proxy.
const EFFECTIVE: Duration = Duration::from_secs(20);
const HOST: &str = "shop.outside.example";
/// Of a range for documentation.
const NOBODY: &str = "192.0.2.7";
const GATEWAY: &str = "istio-egressgateway";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_outside_is_reached_by_its_name() {
    run("a_host_outside_is_reached_by_its_name", named_host).await;
}

async fn named_host(test: &Test) -> anyhow::Result<()> {
    let (inside, outside, cluster) = (test.namespace().await?, test.unlabelled_namespace().await?, &test.cluster);
    cluster.apply_file(&outside, &shared("samples/httpbin.yaml")?).await?;
    cluster.apply_file(&inside, &shared("samples/sleep.yaml")?).await?;
    let (servers, _) = within(START, "client and server are ready", async || {
        cluster.ready_pods(&inside, "app=sleep").await?;
        cluster.ready_pods(&outside, "app=httpbin").await
    })
    .await?;
    let server = servers[0].status.as_ref().and_then(|status| status.pod_ip.clone()).context("a server without address")?;

    anyhow::ensure!(ask(cluster, &inside).await.is_err(), "somebody answers at {NOBODY}");
    cluster.apply(&inside, &entry(&server)).await?;
    let (headers, _) = within(EFFECTIVE, "the host is reached", async || ask(cluster, &inside).await).await?;
    anyhow::ensure!(headers["Host"] == HOST, "{headers}");

    let enabled = json!({"spec": {"gateways": {"egress": [{"name": GATEWAY, "enabled": true}]}}}).to_string();
    cluster.kubectl(&["patch", "meshinstall", MESH, "--type", "merge", "-p", &enabled]).await?;
    let through = through_the_gateway(test, &inside).await;
    let disabled = json!({"spec": {"gateways": null}}).to_string();
    cluster.kubectl(&["patch", "meshinstall", MESH, "--type", "merge", "-p", &disabled]).await?;
    through
}

async fn through_the_gateway(test: &Test, inside: &str) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    let (gateways, _) = within(START, "the egress gateway is ready", async || {
        cluster.ready_pods(CONTROL_PLANE, &format!("istio={}", GATEWAY.trim_start_matches("istio-"))).await
    })
    .await?;
    let gateway = gateways[0].name_any();
    cluster.apply(inside, &routes()).await?;
    let ((), took) = within(EFFECTIVE, "requests pass the egress gateway", async || {
        ask(cluster, inside).await?;
        anyhow::ensure!(passed(cluster, &gateway).await? > 0, "none has");
        Ok(())
    })
    .await?;
    eprintln!("the first request passed the egress gateway after {} ms", took.as_millis());
    // From now on all of them do.
    let before = passed(cluster, &gateway).await?;
    for _ in 0..20 {
        ask(cluster, inside).await?;
    }
    let after = passed(cluster, &gateway).await?;
    anyhow::ensure!(after == before + 20, "{} of 20 passed it", after - before);
    Ok(())
}

/// The host, and where it is.
fn entry(server: &str) -> String {
    let spec = json!({
        "hosts": [HOST], "location": "MESH_EXTERNAL", "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 80}],
        "endpoints": [{"address": server}],
    });
    json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "outside"}, "spec": spec}).to_string()
}

/// From sidecars to the gateway, and from there to the host.
fn routes() -> String {
    let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]});
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "out"},
        "spec": {"selector": {"istio": "egressgateway"}, "servers": [server]},
    });
    let leg = |by: &str, to: &str| json!({"match": [{"gateways": [by], "port": 80}], "route": [{"destination": {"host": to, "port": {"number": 80}}}]});
    let door = format!("{GATEWAY}.{CONTROL_PLANE}.svc.cluster.local");
    let routes = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "outside"},
        "spec": {"hosts": [HOST], "gateways": ["mesh", "out"], "http": [leg("mesh", &door), leg("out", HOST)]},
    });
    format!("{gateway}\n---\n{routes}\n")
}

/// The request's headers as the server saw them.
async fn ask(cluster: &Cluster, namespace: &str) -> anyhow::Result<Value> {
    let (resolve, url) = (format!("{HOST}:80:{NOBODY}"), format!("http://{HOST}/headers"));
    let curl = ["curl", "--silent", "--show-error", "--fail", "--max-time", "3", "--resolve", &resolve, &url];
    let body = cluster.exec(namespace, "sleep", "sleep", &curl).await?.checked()?;
    let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))?;
    Ok(answer["headers"].take())
}

/// How many requests for the host the gateway has passed on well.
async fn passed(cluster: &Cluster, gateway: &str) -> anyhow::Result<u64> {
    let page = cluster.envoy(CONTROL_PLANE, gateway).await?.visitor.page("/clusters", &[]).await?;
    let own = page.lines().filter(|line| line.starts_with(&format!("outbound|80||{HOST}::")));
    Ok(own.filter_map(|line| line.rsplit_once("::rq_success::")?.1.parse::<u64>().ok()).sum())
}
