//! bookinfo as an application under test.

use anyhow::Context;
use ferromesh_e2e::{Cluster, Ingress, Test, sample, shared, within};
use serde_json::{Value, json};
use std::{collections::BTreeMap, env, fs, path::PathBuf, time::Duration};
use tokio::task::JoinSet;

/// A running bookinfo.
pub(crate) struct Shop {
    pub(crate) namespace: String,
    pub(crate) ingress: Ingress,
    cluster: Cluster,
}

/// How often each version of reviews answered.
pub(crate) type Versions = BTreeMap<String, usize>;

/// Visitors that come at the same time.
const PARALLEL: usize = 8;
/// Every pod, its image already on the node, and its first configuration.
const START: Duration = Duration::from_secs(120);
/// A change of routes on its way to every worker of every proxy.
pub(crate) const ROUTED: Duration = Duration::from_secs(20);

// === impl Shop ===

impl Shop {
    /// The project's own sample, with its gateway and subsets.
    pub(crate) async fn open(test: &Test) -> anyhow::Result<Self> {
        let namespace = test.namespace().await?;
        let mut application = fs::read_to_string(sample("kube/bookinfo.yaml"))?;
        if let Ok(hub) = env::var("HUB") {
            application = application.replace("image: ferromesh/", &format!("image: {hub}/"));
        }
        test.cluster.apply(&namespace, &application).await?;
        let networking = ["bookinfo-gateway.yaml", "destination-rule-all.yaml"].map(|file| sample("networking").join(file));
        Self::opened(test, namespace, &networking).await
    }

    /// Istio 1.4's sample, each file as it is.
    pub(crate) async fn open_1_4(test: &Test) -> anyhow::Result<Self> {
        let application = shared("samples/bookinfo-1.4/platform/bookinfo.yaml")?;
        let namespace = test.namespace().await?;
        test.cluster.apply_file(&namespace, &application).await?;
        let networking = [Self::file_1_4("bookinfo-gateway")?, Self::file_1_4("destination-rule-all")?];
        Self::opened(test, namespace, &networking).await
    }

    /// A file of Istio 1.4's networking samples.
    pub(crate) fn file_1_4(name: &str) -> anyhow::Result<PathBuf> {
        shared(&format!("samples/bookinfo-1.4/networking/{name}.yaml"))
    }

    async fn opened(test: &Test, namespace: String, networking: &[PathBuf]) -> anyhow::Result<Self> {
        for file in networking {
            test.cluster.apply_file(&namespace, file).await?;
        }
        let (pods, took) = within(START, "bookinfo is ready", async || test.cluster.ready_pods(&namespace, "app").await).await?;
        eprintln!("bookinfo was ready after {:.1} s", took.as_secs_f64());
        for pod in &pods {
            let spec = pod.spec.as_ref().context("a pod without spec")?;
            let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            anyhow::ensure!(containers.any(|container| container.name == "istio-proxy"), "no sidecar in {:?}", pod.metadata.name);
        }
        let (ingress, _) = within(ROUTED, "the ingress gateway shows the page", async || {
            let ingress = test.mesh.ingress().await?;
            ingress.visitor.page("/productpage", &[]).await?;
            Ok(ingress)
        })
        .await?;
        Ok(Self { namespace, ingress, cluster: test.cluster.clone() })
    }

    /// Sends everybody to one version of reviews.
    pub(crate) async fn send_all_to(&self, version: &str) -> anyhow::Result<()> {
        let route = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "reviews"},
            "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": version}}]}]},
        });
        self.cluster.apply(&self.namespace, &route.to_string()).await?;
        self.until_all_see(version, &[]).await
    }

    /// Waits until visitors with these headers see one version alone, twenty times in a row.
    pub(crate) async fn until_all_see(&self, version: &str, headers: &[(&str, &str)]) -> anyhow::Result<()> {
        let all = Versions::from([(version.to_owned(), 20)]);
        let (_, took) = within(ROUTED, &format!("all visitors see reviews {version}"), async || {
            let seen = self.versions(20, headers).await?;
            anyhow::ensure!(seen == all, "they see {seen:?}");
            Ok(())
        })
        .await?;
        eprintln!("all visitors saw reviews {version} after {} ms", took.as_millis());
        Ok(())
    }

    /// Which versions of reviews `count` visits see, by the pods that answered.
    pub(crate) async fn versions(&self, count: usize, headers: &[(&str, &str)]) -> anyhow::Result<Versions> {
        let headers: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut visitors = JoinSet::new();
        for nth in 0..PARALLEL {
            let (visitor, headers) = (self.ingress.visitor.clone(), headers.clone());
            let visits = count / PARALLEL + usize::from(nth < count % PARALLEL);
            visitors.spawn(async move {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let mut seen = Vec::new();
                for _ in 0..visits {
                    let body = visitor.page("/api/v1/products/0/reviews", &headers).await?;
                    seen.push(version_of(&body)?);
                }
                Ok::<_, anyhow::Error>(seen)
            });
        }
        let mut versions = Versions::new();
        while let Some(seen) = visitors.join_next().await {
            for version in seen?? {
                *versions.entry(version).or_default() += 1;
            }
        }
        Ok(versions)
    }
}

/// Signs in and returns the cookie.
pub(crate) async fn sign_in(shop: &Shop, user: &str) -> anyhow::Result<String> {
    let answer = shop.ingress.visitor.post_form("/login", &format!("username={user}")).await?;
    let cookie = answer.headers.get("set-cookie").and_then(|cookie| cookie.to_str().ok()?.split(';').next());
    Ok(cookie.with_context(|| format!("no cookie; {} {}", answer.status, answer.body))?.to_owned())
}

/// `v1` of an answer by the pod `reviews-v1-5d8f-x2x7k`.
fn version_of(body: &str) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_str(body).with_context(|| format!("not JSON: {body}"))?;
    let pod = answer["podname"].as_str().and_then(|pod| pod.strip_prefix("reviews-")?.split('-').next());
    Ok(pod.with_context(|| format!("no pod of reviews in {body}"))?.to_owned())
}
