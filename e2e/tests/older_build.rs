//! From the build of an older commit, with its chart, its operator and its images, to this one and back, under load: no request fails.
//!
//! What `make upgrade-from` runs once it has made that build. An older build can be any: what it lacks itself, as the end of its sidecars
//! without losses where applications end at once, is not this one's to mend.

use anyhow::Context;
use ferromesh_e2e::{OPERATOR, Test, run, within};
use serde_json::json;
use std::{env, path::PathBuf};

use crate::{
    load::{Load, SERVER, STARTED, complete, opened},
    upgrade::{MOVED, apply, first_moved, moved, never_ready, status},
};

/// An older build.
struct Older {
    checkout: PathBuf,
    tag: String,
}

// === impl Older ===

impl Older {
    fn named() -> anyhow::Result<Self> {
        let said = |name: &str| env::var(name).with_context(|| format!("{name} is not set: make upgrade-from FROM=COMMIT"));
        Ok(Self { checkout: said("FERROMESH_FROM")?.into(), tag: said("FERROMESH_FROM_TAG")? })
    }

    /// Installs its operator, or has that take the place of this build's.
    async fn install(&self, test: &Test) -> anyhow::Result<()> {
        test.mesh.install_chart_of(&self.checkout, &[&format!("image.tag={}", self.tag)]).await
    }

    /// A mesh of it, with a server, visitors and what `walk` does meanwhile; a mesh of this build is left behind.
    async fn visited(&self, test: &Test, walk: impl AsyncFnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        test.mesh.remove().await?;
        self.install(test).await?;
        test.mesh.apply().await?;
        within(MOVED, "the older mesh is healthy", async || test.mesh.healthy().await.map(drop)).await?;

        let (namespace, ingress) = opened(test).await?;
        ends_late(test, &namespace).await?;
        let load = Load::start(&ingress.visitor);
        let walked = walk(&namespace).await;
        let asked = load.stop().await;
        test.mesh.remove().await?;
        test.mesh.ensure(false).await?;
        walked.and(asked)
    }
}

/// This build's tag.
fn own_tag() -> String {
    env::var("TAG").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

/// Has this build's operator take the older one's place.
async fn install_own(test: &Test) -> anyhow::Result<()> {
    // Helm keeps values where none is given.
    test.mesh.install_chart(&[&format!("image.tag={}", env::var("TAG").unwrap_or_default())]).await
}

/// Lets the server end some seconds after it is told to, as applications do that are to lose nothing.
async fn ends_late(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let container = json!({"name": "details", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string();
    test.cluster.kubectl(&["patch", "deployment", SERVER, "-n", namespace, "-p", &patch]).await?;
    within(STARTED, "the server is complete", async || complete(test, namespace).await).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an older build: make upgrade-from FROM=COMMIT"]
async fn an_older_build_is_upgraded_by_a_revision() {
    run("an_older_build_is_upgraded_by_a_revision", async |test: &Test| {
        let older = Older::named()?;
        older.visited(test, async |namespace| by_a_revision(test, namespace, &older.tag).await).await
    })
    .await;
}

async fn by_a_revision(test: &Test, namespace: &str, old: &str) -> anyhow::Result<()> {
    // The older operator refuses the strategy, and without it the new one would replace the control plane: nobody works until it is said.
    test.cluster.kubectl(&["scale", "deployment/ferromesh-operator", "-n", OPERATOR, "--replicas=0"]).await?;
    test.cluster.kubectl(&["delete", "validatingwebhookconfiguration", "ferromesh-operator"]).await?;
    apply(test, json!({})).await?;
    install_own(test).await?;
    // Helm leaves a number that it did not change.
    test.cluster.kubectl(&["scale", "deployment/ferromesh-operator", "-n", OPERATOR, "--replicas=1"]).await?;

    // Back while workloads are being moved.
    within(MOVED, "a first pod has moved", async || first_moved(test, namespace, "blue").await).await?;
    apply(test, json!({"version": old})).await?;
    let (_, took) = within(MOVED, "the older build is back, alone", async || moved(test, namespace, "default", old).await).await?;
    eprintln!("all were back at {old} {:.0} s after the edit", took.as_secs_f64());
    apply(test, json!({})).await?;
    let own = own_tag();
    let (_, took) = within(MOVED, "this build is there, alone", async || moved(test, namespace, "blue", &own).await).await?;
    eprintln!("all had moved from {old} to {own} {:.0} s after the edit", took.as_secs_f64());
    never_ready(test, "blue", &own).await
}

/// Sidecars that are older or newer than their control plane serve, and follow what changes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an older build: make upgrade-from FROM=COMMIT"]
async fn proxies_of_another_build_go_on_in_place() {
    run("proxies_of_another_build_go_on_in_place", async |test: &Test| {
        let older = Older::named()?;
        older.visited(test, async |namespace| in_place(test, namespace, &older).await).await
    })
    .await;
}

async fn in_place(test: &Test, namespace: &str, older: &Older) -> anyhow::Result<()> {
    follow(test, namespace, "STRICT").await.context("old proxies, old control plane")?;
    install_own(test).await?;
    within(MOVED, "this build's control plane is there", async || serves(test, &own_tag()).await).await?;
    follow(test, namespace, "PERMISSIVE").await.context("old proxies, new control plane")?;

    test.cluster.kubectl(&["rollout", "restart", "deployment", "-n", namespace]).await?;
    within(STARTED, "the server is complete", async || complete(test, namespace).await).await?;
    follow(test, namespace, "STRICT").await.context("new proxies, new control plane")?;

    older.install(test).await?;
    within(MOVED, "the older control plane is back", async || serves(test, &older.tag).await).await?;
    follow(test, namespace, "PERMISSIVE").await.context("new proxies, old control plane")
}

/// Whether a healthy control plane is of that version.
async fn serves(test: &Test, tag: &str) -> anyhow::Result<()> {
    test.mesh.healthy().await?;
    let version = status(test).await?.version.context("no version")?;
    anyhow::ensure!(version == tag, "version {version}");
    Ok(())
}

/// Asks the namespace's servers for a mode of mutual TLS, and awaits that their proxies do as they are told.
async fn follow(test: &Test, namespace: &str, mode: &str) -> anyhow::Result<()> {
    let policy = json!({"apiVersion": "security.istio.io/v1beta1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
        "spec": {"mtls": {"mode": mode}}});
    test.cluster.apply(namespace, &policy.to_string()).await?;
    let (_, took) = within(STARTED, "all sidecars are told", async || {
        for pod in test.cluster.ready_pods(namespace, "app=details").await? {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let envoy = test.cluster.envoy(namespace, name).await?;
            let listeners = envoy.visitor.page("/config_dump?resource=dynamic_listeners&name_regex=virtualInbound", &[]).await?;
            // Only who lets plain requests in tells them from others.
            anyhow::ensure!(listeners.contains("\"raw_buffer\"") == (mode == "PERMISSIVE"), "{name} is not {mode}");
        }
        Ok(())
    })
    .await?;
    eprintln!("{mode} {:.1} s after the edit", took.as_secs_f64());
    Ok(())
}
