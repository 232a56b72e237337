//! Istio 1.4's tasks with bookinfo: each networking file as it is, one after another, with the effect that its tutorial promises.
//!
//! What the tasks need beyond bookinfo and can't be had in a closed cluster is stood in for: versions with databases, and details v2, are
//! bookinfo's own programs under those labels.

use anyhow::Context;
use ferromesh_e2e::{Cluster, Test, run, shared, within};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::shop::{ROUTED, Shop, sign_in};

/// Pods, their images already on the node.
const START: Duration = Duration::from_secs(90);
/// Two failed tries of the page for its reviews, of three seconds each, and not twice as long.
const SLOW: std::ops::Range<f64> = 5.5..9.0;
/// Whatever is not delayed on purpose, on a busy machine.
const QUICK: f64 = 2.0;

#[tokio::test(flavor = "multi_thread")]
async fn faults_hit_whom_they_are_meant_for() {
    run("faults_hit_whom_they_are_meant_for", faults).await;
}

pub(crate) async fn faults(test: &Test) -> anyhow::Result<()> {
    let (shop, client) = (Shop::open_1_4(test).await?, shared("samples/sleep.yaml")?);
    let cluster = &test.cluster;
    cluster.apply_file(&shop.namespace, &client).await?;
    let apply = async |name: &str| cluster.apply_file(&shop.namespace, &Shop::file_1_4(name)?).await;
    apply("virtual-service-all-v1").await?;
    apply("virtual-service-reviews-test-v2").await?;
    let jason = sign_in(&shop, "jason").await?;
    let jason = [("cookie", jason.as_str())];
    shop.until_all_see("v2", &jason).await?;

    // Delay: ratings answer jason after seven seconds, so his page gives up on reviews after two tries of three.
    apply("virtual-service-ratings-test-delay").await?;
    let delayed = async |user: &str| ratings(cluster, &shop.namespace, user).await.map(|(_, seconds)| seconds);
    within(ROUTED, "jason's ratings take seven seconds", async || {
        let seconds = delayed("jason").await?;
        anyhow::ensure!((6.9..9.0).contains(&seconds), "they take {seconds} s");
        Ok(())
    })
    .await?;
    let others = delayed("mary").await?;
    anyhow::ensure!(others < QUICK, "others wait {others} s");
    let (page, seconds) = timed_page(&shop, &jason).await?;
    anyhow::ensure!(SLOW.contains(&seconds) && page.contains("data-unavailable=\"reviews\""), "jason's page took {seconds} s: {page}");
    let (page, seconds) = timed_page(&shop, &[]).await?;
    anyhow::ensure!(seconds < QUICK && !page.contains("data-unavailable"), "the page of others took {seconds} s: {page}");

    // Abort: jason sees that there are no ratings, at once.
    apply("virtual-service-ratings-test-abort").await?;
    within(ROUTED, "jason's ratings fail with 500", async || {
        let (status, seconds) = ratings(cluster, &shop.namespace, "jason").await?;
        anyhow::ensure!(status == 500 && seconds < QUICK, "{status} after {seconds} s");
        Ok(())
    })
    .await?;
    let (status, _) = ratings(cluster, &shop.namespace, "mary").await?;
    anyhow::ensure!(status == 200, "others get {status}");
    let error = |reviews: &Value| reviews["reviews"][0]["rating"]["error"].is_string();
    anyhow::ensure!(error(&reviews(&shop, &jason).await?), "jason is not told that ratings are missing");

    // Everybody's details fail.
    apply("fault-injection-details-v1").await?;
    within(ROUTED, "details fail for everybody", async || {
        let page = shop.ingress.visitor.page("/productpage", &[]).await?;
        anyhow::ensure!(page.contains("data-unavailable=\"details\""), "they are there");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_split_and_version_of_the_samples_is_reached() {
    run("every_split_and_version_of_the_samples_is_reached", versions).await;
}

pub(crate) async fn versions(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open_1_4(test).await?;
    let cluster = &test.cluster;
    let apply = async |name: &str| cluster.apply_file(&shop.namespace, &Shop::file_1_4(name)?).await;
    cluster.apply_file(&shop.namespace, &shared("samples/bookinfo-1.4/platform/bookinfo-ratings-v2.yaml")?).await?;
    for (service, version) in [("details", "v2"), ("ratings", "v2-mysql"), ("ratings", "v2-mysql-vm")] {
        cluster.apply(&shop.namespace, &stand_in(service, version).to_string()).await?;
    }
    within(START, "the stand-ins are ready", async || cluster.ready_pods(&shop.namespace, "app").await).await?;
    apply("virtual-service-all-v1").await?;
    // A rule for reviews alone, then for all services with mutual TLS: the routes hold over both.
    for rules in ["destination-rule-reviews", "destination-rule-all", "destination-rule-all-mtls"] {
        apply(rules).await?;
        shop.until_all_see("v1", &[]).await?;
    }

    for (file, wanted) in [("virtual-service-reviews-90-10", ["v1", "v2"]), ("virtual-service-reviews-v2-v3", ["v2", "v3"])] {
        apply(file).await?;
        within(ROUTED, &format!("{file} leads to {wanted:?}"), async || {
            let seen = shop.versions(60, &[]).await?;
            anyhow::ensure!(seen.keys().map(String::as_str).eq(wanted), "{seen:?}");
            Ok(())
        })
        .await?;
    }
    apply("virtual-service-reviews-jason-v2-v3").await?;
    let jason = sign_in(&shop, "jason").await?;
    shop.until_all_see("v2", &[("cookie", &jason)]).await?;
    shop.until_all_see("v3", &[]).await?;

    apply("virtual-service-details-v2").await?;
    until_only(&shop, cluster, "details", "v2", "/api/v1/products/0").await?;
    for (file, version) in [
        ("virtual-service-ratings-db", "v2"),
        ("virtual-service-ratings-mysql", "v2-mysql"),
        ("virtual-service-ratings-mysql-vm", "v2-mysql-vm"),
    ] {
        apply(file).await?;
        until_only(&shop, cluster, "ratings", version, "/api/v1/products/0/ratings").await?;
    }
    Ok(())
}

/// Waits until ten visits all reach the one version of a service, by the log of its pod.
async fn until_only(shop: &Shop, cluster: &Cluster, service: &str, version: &str, path: &str) -> anyhow::Result<()> {
    const VISITS: usize = 10;
    let log = ["logs", "-n", &shop.namespace, "-l", &format!("app={service},version={version}"), "--tail=-1", "-c", service];
    let answered = async || anyhow::Ok(cluster.kubectl(&log).await?.matches("\"path\":\"/").count());
    within(ROUTED, &format!("{service} {version} gets all visits"), async || {
        let before = answered().await?;
        for _ in 0..VISITS {
            shop.ingress.visitor.page(path, &[]).await?;
        }
        let got = answered().await? - before;
        anyhow::ensure!(got == VISITS, "{got} of {VISITS} reached it");
        Ok(())
    })
    .await?;
    Ok(())
}

/// A Deployment of bookinfo's own program under another version's labels.
fn stand_in(service: &str, version: &str) -> Value {
    let labels = json!({"app": service, "version": version});
    let container = json!({
        "name": service, "image": format!("docker.io/istio/examples-bookinfo-{service}-v1:1.15.0"),
        "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 9080}],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("{service}-{version}"), "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

/// The status with which ratings answer a user, asked by a client in the mesh, and the seconds that it takes.
async fn ratings(cluster: &Cluster, namespace: &str, user: &str) -> anyhow::Result<(u16, f64)> {
    let user = format!("end-user: {user}");
    let written = "%{http_code} %{time_total}";
    let url = "http://ratings:9080/ratings/0";
    let curl = ["curl", "--silent", "--max-time", "15", "--output", "/dev/null", "--write-out", written, "--header", &user, url];
    let said = cluster.exec(namespace, "sleep", "sleep", &curl).await?.checked()?;
    let (status, seconds) = said.trim().split_once(' ').with_context(|| format!("curl said {said:?}"))?;
    Ok((status.parse()?, seconds.parse()?))
}

async fn timed_page(shop: &Shop, headers: &[(&str, &str)]) -> anyhow::Result<(String, f64)> {
    let started = Instant::now();
    let page = shop.ingress.visitor.page("/productpage", headers).await?;
    Ok((page, started.elapsed().as_secs_f64()))
}

async fn reviews(shop: &Shop, headers: &[(&str, &str)]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&shop.ingress.visitor.page("/api/v1/products/0/reviews", headers).await?)?)
}
