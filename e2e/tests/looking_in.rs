//! What people see of proxies and of pilot: `proxy-status`, `proxy-config`, the debug pages.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, Test, run, shared, within};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

use crate::shop::{ROUTED, Shop};

/// One pod, its image already on the node.
const START: Duration = Duration::from_secs(90);
const KINDS: [&str; 4] = ["cds", "lds", "eds", "rds"];

#[tokio::test(flavor = "multi_thread")]
async fn commands_show_what_proxies_have() {
    run("commands_show_what_proxies_have", commands).await;
}

async fn commands(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open(test).await?;
    shop.send_all_to("v2").await?;
    let pods = test.cluster.ready_pods(&shop.namespace, "app").await?;
    statuses(&test.cluster, &shop, &pods).await?;
    let page = pods.iter().find(|pod| pod.labels()["app"] == "productpage").context("no productpage")?;
    configurations(&test.cluster, &shop, page).await
}

/// All proxies of bookinfo are up to date, in the table, for programs, and one by one.
async fn statuses(cluster: &Cluster, shop: &Shop, pods: &[Pod]) -> anyhow::Result<()> {
    let status = ["proxy-status", "-n", &shop.namespace];
    within(ROUTED, "all proxies are up to date", async || {
        let table = cluster.ferromesh(&status).await?.checked()?;
        for pod in pods {
            let name = format!("{}.{}", pod.name_any(), shop.namespace);
            let row = table.lines().find(|line| line.starts_with(&name)).with_context(|| format!("no {name} in\n{table}"))?;
            let states: Vec<&str> = row.split_whitespace().skip(1).take(KINDS.len()).collect();
            anyhow::ensure!(states == ["SYNCED"; KINDS.len()], "{row}");
        }
        anyhow::ensure!(table.lines().count() == pods.len() + 1, "others are shown too:\n{table}");
        Ok(())
    })
    .await?;
    // Endpoints of a mesh that has just come up may change once more.
    within(ROUTED, "programs are told the same", async || {
        let told: Vec<Value> = serde_json::from_str(&cluster.ferromesh(&[&status[..], &["-o", "json"]].concat()).await?.checked()?)?;
        anyhow::ensure!(told.len() == pods.len(), "{told:?}");
        let synced = |proxy: &Value| KINDS.iter().all(|kind| proxy[kind] == "SYNCED") && proxy["rejections"] == json!([]);
        anyhow::ensure!(told.iter().all(synced), "{told:?}");
        Ok(())
    })
    .await?;
    // Another test's namespace may still be going, and a proxy and pilot are not asked in the same instant.
    for pod in pods {
        let name = format!("{}.{}", pod.name_any(), shop.namespace);
        within(ROUTED, &format!("{name} has what pilot means it to have"), async || {
            let said = cluster.ferromesh(&["proxy-status", &name]).await?;
            let matching = said.out.lines().filter(|line| line.ends_with(" match")).count();
            anyhow::ensure!(said.code == Some(0) && matching == KINDS.len(), "{said:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Every part of one proxy's configuration, in rows and for programs.
async fn configurations(cluster: &Cluster, shop: &Shop, pod: &Pod) -> anyhow::Result<()> {
    let name = format!("{}.{}", pod.name_any(), shop.namespace);
    let own = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod without address")?;
    let reviews = format!("reviews.{}.svc.cluster.local", shop.namespace);
    let config = async |what: &[&str]| {
        let arguments = [&["proxy-config", what[0], &name], &what[1..]].concat();
        cluster.ferromesh(&arguments).await?.checked().with_context(|| format!("{arguments:?}"))
    };
    // What each part has for certain: a row that has all of these words, and a text in the resources.
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&["cluster", "--fqdn", &reviews], &[&reviews, "9080", "v2", "outbound", "EDS"], "connect_timeout"),
        (&["listener", "--port", "15006"], &["0.0.0.0", "15006"], "virtualInbound"),
        (&["route", "--name", "9080"], &["9080", "reviews", "/*", "http[0]"], "virtual_hosts"),
        (&["endpoint", "--status", "healthy"], &[&own, "HEALTHY", "productpage"], &own),
        (&["bootstrap"], &[], "dynamic_resources"),
        (&["secret"], &["default", "Cert Chain", "ACTIVE"], "default"),
    ];
    for (what, row, part) in cases {
        let table = config(what).await?;
        let found = table.lines().any(|line| row.iter().all(|word| line.contains(word)));
        anyhow::ensure!(found, "{what:?}: no row with {row:?} in\n{table}");
        let text = config(&[what, &["-o", "json"]].concat()).await?;
        let resources: Value = serde_json::from_str(&text).with_context(|| format!("{what:?}: {text}"))?;
        anyhow::ensure!(resources.to_string().contains(part), "{what:?}: no {part} in {text}");
        anyhow::ensure!(!text.contains("PRIVATE KEY"), "{what:?} shows a key");
    }
    let level = async |arguments: &[&str]| {
        let told = config(&[&["log"], arguments].concat()).await?;
        let level = told.lines().find_map(|line| line.strip_prefix("http ").map(str::trim));
        anyhow::Ok(level.with_context(|| format!("no level of http in {told}"))?.to_owned())
    };
    let before = level(&[]).await?;
    anyhow::ensure!(before != "debug" && level(&["--level", "http:debug"]).await? == "debug", "http: {before}");
    anyhow::ensure!(level(&["--level", &format!("http:{before}")]).await? == before, "not back at {before}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_pages_answer_the_meshs_own_accounts() {
    run("debug_pages_answer_the_meshs_own_accounts", pages).await;
}

async fn pages(test: &Test) -> anyhow::Result<()> {
    let (namespace, cluster) = (test.unlabelled_namespace().await?, &test.cluster);
    cluster.apply_file(&namespace, &shared("samples/sleep.yaml")?).await?;
    within(START, "the client is ready", async || cluster.ready_pods(&namespace, "app=sleep").await).await?;
    let asks = async |page: &str, token: Option<&str>| {
        let url = format!("http://istio-pilot.{CONTROL_PLANE}:15014{page}");
        let header = token.map(|token| format!("authorization: Bearer {token}"));
        let mut curl = vec!["curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}"];
        curl.extend(header.iter().flat_map(|header| ["--header", header]));
        curl.push(&url);
        let said = cluster.exec(&namespace, "sleep", "sleep", &curl).await?.checked()?;
        let (body, status) = said.rsplit_once('\n').with_context(|| format!("curl said {said:?}"))?;
        anyhow::Ok((status.parse::<u16>()?, body.to_owned()))
    };
    let token =
        async |namespace: &str| anyhow::Ok(cluster.kubectl(&["create", "token", "default", "-n", namespace]).await?.trim().to_owned());
    let (stranger, own) = (token(&namespace).await?, token(CONTROL_PLANE).await?);
    for page in ["/debug/syncz", "/debug/connections", "/debug/registryz", "/debug/configz"] {
        let (status, words) = asks(page, None).await?;
        anyhow::ensure!(status == 401 && words.contains("token"), "{page} without a token: {status} {words}");
        anyhow::ensure!(asks(page, Some("nonsense")).await?.0 == 401, "{page} for a token that is none");
        let (status, words) = asks(page, Some(&stranger)).await?;
        anyhow::ensure!(status == 403 && words.contains(&format!("system:serviceaccount:{namespace}:default")), "{page}: {status} {words}");
        let (status, body) = asks(page, Some(&own)).await?;
        anyhow::ensure!(status == 200 && serde_json::from_str::<Value>(&body).is_ok(), "{page}: {status} {body}");
    }
    // Metrics and health are no secret.
    anyhow::ensure!(asks("/metrics", None).await?.0 == 200, "no metrics without a token");
    Ok(())
}
