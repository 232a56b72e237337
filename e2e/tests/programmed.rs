//! What proxies refuse reaches its author, and nobody else.

use anyhow::Context;
use ferromesh_crds::networking::{EnvoyFilter, Gateway};
use ferromesh_e2e::{CONTROL_PLANE, Test, run, within};
use k8s_openapi::{
    api::events::v1::Event,
    serde::{Serialize, de::DeserializeOwned},
};
use kube::{Resource, api::ListParams};
use serde_json::{Value, json};
use std::{fmt::Debug, time::Duration};

use crate::shop::{ROUTED, Shop};

/// How soon an author reads of it, on a busy machine.
const TOLD: Duration = Duration::from_secs(10);
/// How soon the mesh's status tells of it: pilots are asked every 10 s, and mere numbers of good proxies are written every 30 s.
const COUNTED: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_filter_is_told_its_author_alone() {
    run("a_refused_filter_is_told_its_author_alone", refused).await;
}

async fn refused(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open(test).await?;
    shop.send_all_to("v1").await?;
    let filter = |code: &str| {
        let value = json!({"name": "lua", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": code},
        }});
        let patch = json!({
            "applyTo": "HTTP_FILTER", "match": {"context": "SIDECAR_INBOUND"},
            "patch": {"operation": "INSERT_FIRST", "value": value},
        });
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "greeting"},
            "spec": {"workloadSelector": {"labels": {"app": "productpage"}}, "configPatches": [patch]},
        })
        .to_string()
    };
    test.cluster.apply(&shop.namespace, &filter("this is no Lua")).await?;
    let (condition, took) = within(TOLD, "the author reads that it is refused", async || {
        let condition = programmed::<EnvoyFilter>(test, &shop.namespace, "greeting").await?;
        anyhow::ensure!(condition["status"] == "False", "{condition}");
        Ok(condition)
    })
    .await?;
    eprintln!("the author read it after {} ms: {}", took.as_millis(), condition["message"]);
    let message = condition["message"].as_str().unwrap_or_default();
    anyhow::ensure!(condition["reason"] == "RefusedByProxy" && message.contains("lds virtualInbound"), "{condition}");
    within(TOLD, "an event", async || {
        let events = test.cluster.api::<Event>(&shop.namespace).list(&ListParams::default()).await?;
        let told = events.iter().any(|event| event.reason.as_deref() == Some("RefusedByProxy"));
        anyhow::ensure!(told, "none");
        Ok(())
    })
    .await?;
    within(COUNTED, "the mesh's status counts a proxy that refuses", async || counted(test, 1).await).await?;
    // The page is served, and other changes reach the same proxy.
    shop.send_all_to("v3").await?;

    test.cluster
        .apply(&shop.namespace, &filter("function envoy_on_response(handle) handle:headers():add('x-greeting', 'hello') end"))
        .await?;
    within(ROUTED, "the filter works once it is right", async || {
        let answer = shop.ingress.visitor.get("/productpage", &[]).await?;
        anyhow::ensure!(answer.headers.get("x-greeting").is_some_and(|value| value == "hello"), "{:?}", answer.headers);
        Ok(())
    })
    .await?;
    within(TOLD, "the author reads that it is right", async || {
        let condition = programmed::<EnvoyFilter>(test, &shop.namespace, "greeting").await?;
        anyhow::ensure!(condition["status"] == "True", "{condition}");
        Ok(())
    })
    .await?;
    within(COUNTED, "the mesh's status counts none", async || counted(test, 0).await).await.map(drop)
}

/// Whether the MeshInstall tells of so many proxies that don't have what pilot told them, and of no other's fault.
async fn counted(test: &Test, stale: i64) -> anyhow::Result<()> {
    let status = test.mesh.healthy().await?.status.unwrap_or_default();
    let proxies = status.proxies.context("no counts")?;
    anyhow::ensure!(proxies.stale == Some(stale) && proxies.synced == proxies.total.map(|total| total - stale), "{proxies:?}");
    let condition = status.conditions.iter().find(|condition| condition.type_ == "ProxiesInSync").context("no condition")?;
    anyhow::ensure!(condition.reason == if stale == 0 { "InSync" } else { "ProxiesStale" }, "{condition:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_says_that_its_secret_is_missing() {
    run("a_gateway_says_that_its_secret_is_missing", missing).await;
}

async fn missing(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let told = told_of_its_secret(test, &namespace).await;
    test.cluster.kubectl(&["delete", "secret", &namespace, "-n", CONTROL_PLANE, "--ignore-not-found"]).await?;
    told
}

async fn told_of_its_secret(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let server = json!({
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [format!("{namespace}.example")],
        "tls": {"mode": "SIMPLE", "credentialName": namespace},
    });
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "secured"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    });
    test.cluster.apply(namespace, &gateway.to_string()).await?;
    let says = async |status: &str| {
        let condition = programmed::<Gateway>(test, namespace, "secured").await?;
        anyhow::ensure!(condition["status"] == status, "{condition}");
        anyhow::Ok(condition)
    };
    let (condition, took) = within(TOLD, "the Gateway says what it misses", async || says("False").await).await?;
    eprintln!("it said so after {} ms: {}", took.as_millis(), condition["message"]);
    let named = condition["message"].as_str().is_some_and(|words| words.contains(&format!("Secret {CONTROL_PLANE}/{namespace} ")));
    anyhow::ensure!(condition["reason"] == "SecretUnusable" && named, "{condition}");

    let identity = rcgen::generate_simple_self_signed([format!("{namespace}.example")])?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": namespace}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": identity.cert.pem(), "tls.key": identity.signing_key.serialize_pem()},
    });
    test.cluster.apply(CONTROL_PLANE, &secret.to_string()).await?;
    let (_, took) = within(TOLD, "the Gateway misses nothing any more", async || says("True").await).await?;
    eprintln!("it took that back after {} ms", took.as_millis());
    Ok(())
}

/// The condition `Programmed` of an object; nothing if it has none.
async fn programmed<K>(test: &Test, namespace: &str, name: &str) -> anyhow::Result<Value>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let object = test.cluster.api::<K>(namespace).get(name).await.with_context(|| format!("{name} in {namespace}"))?;
    let conditions = serde_json::to_value(object)?["status"]["conditions"].take();
    let mut conditions = conditions.as_array().cloned().unwrap_or_default().into_iter();
    Ok(conditions.find(|condition| condition["type"] == "Programmed").unwrap_or_default())
}
