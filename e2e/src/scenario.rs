//! One test: it gets a mesh, works in namespaces of its own, and leaves nothing behind but, when it fails, what there was to see.

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use std::{
    collections::hash_map::RandomState,
    env, fmt, fs,
    hash::{BuildHasher, Hasher},
    io::Write,
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
};

use crate::{Cluster, Mesh, dump};

/// Why a test does not run. Not a failure.
#[derive(Clone, Debug)]
pub struct Skip(pub String);

/// Why a test is not tried: the mesh could not be installed for the one before.
#[derive(Clone, Debug)]
struct NotInstalled(String);

/// A test that runs.
#[derive(Debug)]
pub struct Test {
    /// The cluster.
    pub cluster: Cluster,
    /// Its mesh, which is healthy when the test begins.
    pub mesh: Mesh,
    name: &'static str,
    namespaces: Mutex<Vec<String>>,
}

/// What earlier tests of this process found.
#[derive(Debug, Default)]
struct Earlier {
    installed: bool,
    /// Why the mesh could not be installed. Nobody tries again: each try would take minutes.
    failed: Option<String>,
}

/// Marks namespaces of tests, so that those of an aborted run can be removed.
const TEST: &str = "e2e.ferromesh.dev/test";

/// Tests share a mesh that some of them break on purpose: one at a time, whatever the number of threads.
static TURN: tokio::sync::Mutex<Earlier> = tokio::sync::Mutex::const_new(Earlier { installed: false, failed: None });

/// Runs a test: `body` gets a healthy mesh; its namespaces are removed whatever happens in it.
///
/// # Panics
/// When the test fails; what was in its namespaces and in the mesh's is in `target/e2e/NAME` then.
pub async fn run(name: &'static str, body: impl AsyncFnOnce(&Test) -> anyhow::Result<()>) {
    let mut earlier = TURN.lock().await;
    let test = match Test::begin(name).await {
        Ok(test) => test,
        Err(error) => return conclude(name, Err(error)),
    };
    let mut result = test.install(&mut earlier).await;
    let mut panic = None;
    if result.is_ok() {
        match AssertUnwindSafe(body(&test)).catch_unwind().await {
            Ok(ended) => result = ended,
            Err(payload) => panic = Some(payload),
        }
    }
    // There is nothing new to see where nothing was tried.
    let failed = |error: &anyhow::Error| !error.is::<Skip>() && !error.is::<NotInstalled>();
    if panic.is_some() || result.as_ref().is_err_and(failed) {
        dump::everything(&test.cluster, name, &test.own_namespaces()).await;
    }
    test.clean_up().await;
    if let Some(panic) = panic {
        std::panic::resume_unwind(panic);
    }
    conclude(name, result);
}

fn conclude(name: &str, result: anyhow::Result<()>) {
    let Err(error) = result else { return };
    let Some(Skip(reason)) = error.downcast_ref::<Skip>() else { panic!("{error:#}") };
    eprintln!("{name} skipped: {reason}");
    if let Some(skips) = env::var_os("FERROMESH_SKIPS") {
        let line = format!("{name}: {reason}\n");
        let file = fs::OpenOptions::new().create(true).append(true).open(skips);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file of skipped tests can be written");
    }
}

// === impl Test ===

impl Test {
    async fn begin(name: &'static str) -> anyhow::Result<Self> {
        let cluster = Cluster::connect().await?;
        let mesh = Mesh::of(&cluster).await?;
        let test = Self { cluster, mesh, name, namespaces: Mutex::default() };
        test.remove_old_namespaces().await?;
        Ok(test)
    }

    async fn install(&self, earlier: &mut Earlier) -> anyhow::Result<()> {
        if let Some(reason) = &earlier.failed {
            anyhow::bail!(NotInstalled(reason.clone()));
        }
        match self.mesh.ensure(earlier.installed).await {
            Ok(()) => earlier.installed = true,
            Err(error) => {
                earlier.failed = Some(format!("{error:#}"));
                return Err(error);
            }
        }
        Ok(())
    }

    /// A new namespace with a random name, whose pods get a sidecar.
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn namespace(&self) -> anyhow::Result<String> {
        self.new_namespace(json!({"istio-injection": "enabled"})).await
    }

    /// A new namespace with a random name, whose pods are left alone.
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn unlabelled_namespace(&self) -> anyhow::Result<String> {
        self.new_namespace(json!({})).await
    }

    async fn new_namespace(&self, mut labels: serde_json::Value) -> anyhow::Result<String> {
        // Every RandomState is keyed anew.
        let random = RandomState::new().build_hasher().finish() & 0x00ff_ffff;
        let name = format!("{}-{random:06x}", self.name.replace('_', "-"));
        labels[TEST] = self.name.into();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        Api::<Namespace>::all(self.cluster.client()).create(&PostParams::default(), &namespace).await?;
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        Ok(name)
    }

    fn own_namespaces(&self) -> Vec<String> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes the namespaces that the test has made so far, without waiting for their pods. The end of the test does it too.
    pub async fn clean_up(&self) {
        let namespaces = std::mem::take(&mut *self.namespaces.lock().unwrap_or_else(PoisonError::into_inner));
        for namespace in namespaces {
            if let Err(error) = self.remove_namespace(&namespace).await {
                eprintln!("namespace {namespace} could not be removed: {error:#}");
            }
        }
    }

    async fn remove_namespace(&self, namespace: &str) -> anyhow::Result<()> {
        // Routes of a namespace hold until its pods are gone; the next test's must not compete with them.
        let kinds = "gateways.networking.istio.io,virtualservices.networking.istio.io";
        let said = self.cluster.try_kubectl(&["delete", kinds, "--all", "-n", namespace], None).await?;
        if !said.ok {
            eprintln!("routes of {namespace} could not be removed: {}", said.err.trim());
        }
        Api::<Namespace>::all(self.cluster.client()).delete(namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Namespaces that an aborted run has left.
    async fn remove_old_namespaces(&self) -> anyhow::Result<()> {
        let old = Api::<Namespace>::all(self.cluster.client()).list(&ListParams::default().labels(TEST)).await?;
        for namespace in old {
            if let (Some(name), None) = (namespace.metadata.name, namespace.metadata.deletion_timestamp) {
                self.remove_namespace(&name).await?;
            }
        }
        Ok(())
    }
}

// === impl Skip ===

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

// === impl NotInstalled ===

impl fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mesh could not be installed for an earlier test: {}", self.0)
    }
}

impl std::error::Error for NotInstalled {}
