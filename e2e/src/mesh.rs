//! The installation that tests share.

use anyhow::Context;
use ferromesh_crds::{MeshInstall, install::State};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::Deployment,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    serde::de::DeserializeOwned,
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{env, fmt::Debug, path::Path, time::Duration};

use crate::{Cluster, Forward, Skip, Visitor, project, within};

/// The MeshInstall's name.
pub const MESH: &str = "mesh";
/// The namespace of the mesh.
pub const CONTROL_PLANE: &str = "istio-system";
/// The namespace of the operator.
pub const OPERATOR: &str = "ferromesh-system";

/// The Helm release.
const RELEASE: &str = "ferromesh";
/// Marks the MeshInstall as one that tests may remove.
const OWN: &str = "e2e.ferromesh.dev/own";

/// The mesh of a cluster.
#[derive(Clone, Debug)]
pub struct Mesh {
    cluster: Cluster,
}

/// How the visitors of the ingress gateway get there.
#[derive(Debug)]
pub struct Ingress {
    /// Who asks there.
    pub visitor: Visitor,
    _forward: Option<Forward>,
}

// === impl Mesh ===

impl Mesh {
    /// The mesh of a cluster, whether or not it is installed.
    ///
    /// # Errors
    /// [`Skip`] if somebody uses a mesh there.
    pub async fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let mesh = Self { cluster: cluster.clone() };
        if let Some(foreign) = mesh.installs().await?.iter().find(|install| !install.labels().contains_key(OWN)) {
            let name = foreign.name_any();
            let words =
                format!("the cluster has MeshInstall {name}, and these tests remove theirs: make demo-down first, if it is the demo's");
            anyhow::bail!(Skip(words));
        }
        Ok(mesh)
    }

    /// Installs the mesh from nothing, unless it is there and may be reused.
    ///
    /// # Errors
    /// When it does not become healthy.
    pub async fn ensure(&self, reuse: bool) -> anyhow::Result<()> {
        let reuse = reuse || env::var_os("FERROMESH_E2E_REUSE").is_some();
        if reuse && self.install().await.is_ok() {
            // A test before may have broken what is healed by now, or soon.
            if within(Duration::from_secs(60), "the mesh is healthy", async || self.healthy().await).await.is_ok() {
                return Ok(());
            }
        }
        self.remove().await.context("an earlier installation can't be removed")?;
        self.restrict().await?;
        self.install_chart(&[]).await?;
        self.apply().await?;
        let (_, took) = within(Duration::from_secs(180), "the mesh is healthy", async || self.healthy().await).await?;
        eprintln!("the mesh was healthy {:.1} s after its MeshInstall", took.as_secs_f64());
        Ok(())
    }

    /// Makes the namespaces of mesh and operator, which from then on let no pod in that has any rights on its node.
    ///
    /// # Errors
    /// When kubectl does.
    pub async fn restrict(&self) -> anyhow::Result<()> {
        for name in [CONTROL_PLANE, OPERATOR] {
            let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            self.cluster.apply("default", &namespace.to_string()).await?;
        }
        Ok(())
    }

    /// Installs or upgrades the chart and waits until the operator is ready.
    ///
    /// # Errors
    /// When helm does.
    pub async fn install_chart(&self, values: &[&str]) -> anyhow::Result<()> {
        self.install_chart_of(project::root(), values).await
    }

    /// The same with the chart of another checkout of the project.
    ///
    /// # Errors
    /// When helm does.
    pub async fn install_chart_of(&self, checkout: &Path, values: &[&str]) -> anyhow::Result<()> {
        let chart = checkout.join("charts/ferromesh");
        let chart = chart.to_str().context("the path is not UTF-8")?;
        let mut arguments = vec!["upgrade", "--install", RELEASE, chart, "-n", OPERATOR, "--create-namespace", "--wait", "--timeout", "3m"];
        let images: Vec<String> = [("HUB", "image.registry=,image.repository="), ("TAG", "image.tag=")]
            .into_iter()
            .filter_map(|(variable, setting)| Some(format!("{setting}{}", env::var(variable).ok().filter(|value| !value.is_empty())?)))
            .collect();
        for setting in images.iter().map(String::as_str).chain(values.iter().copied()) {
            arguments.extend(["--set", setting]);
        }
        self.cluster.helm(&arguments).await.map(drop)
    }

    /// Runs `helm test`, which runs the mesh's checks from within the cluster.
    ///
    /// # Errors
    /// When helm does, or a check fails.
    pub async fn test_chart(&self) -> anyhow::Result<()> {
        self.cluster.helm(&["test", RELEASE, "-n", OPERATOR, "--timeout", "2m"]).await.map(drop)
    }

    /// Removes the operator; the mesh goes on.
    ///
    /// # Errors
    /// When helm does.
    pub async fn uninstall_chart(&self) -> anyhow::Result<()> {
        self.cluster.helm(&["uninstall", RELEASE, "-n", OPERATOR, "--ignore-not-found", "--wait", "--timeout", "2m"]).await.map(drop)
    }

    /// Applies the MeshInstall: the default profile, and nothing said.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn apply(&self) -> anyhow::Result<()> {
        self.apply_with(json!({})).await
    }

    /// The same with these `values`, and none of those before.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn apply_with(&self, values: Value) -> anyhow::Result<()> {
        self.apply_spec(json!({"profile": "default", "values": values})).await
    }

    /// Applies the MeshInstall with this spec, and nothing of the one before; without add-ons unless it speaks of them, as their images
    /// can't be had everywhere.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn apply_spec(&self, mut spec: Value) -> anyhow::Result<()> {
        if spec["addons"].is_null() {
            let off = json!({"enabled": false});
            spec["addons"] = json!({"prometheus": off, "grafana": off, "kiali": off});
        }
        let install = json!({
            "apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall",
            "metadata": {"name": MESH, "labels": {OWN: "true"}}, "spec": spec,
        });
        self.cluster.apply("default", &install.to_string()).await
    }

    /// Deletes the MeshInstall and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn delete(&self) -> anyhow::Result<()> {
        self.cluster.kubectl(&["delete", "meshinstalls", MESH, "--ignore-not-found", "--timeout=60s"]).await.map(drop)
    }

    /// Removes all that tests install, and waits until it is gone: a start from nothing, whatever an aborted run has left.
    ///
    /// # Errors
    /// When something stays.
    pub async fn remove(&self) -> anyhow::Result<()> {
        if !self.installs().await?.is_empty() {
            // An aborted run may have left a second control plane.
            let own = format!("{OWN}=true");
            self.cluster.kubectl(&["delete", "meshinstalls", "-l", &own, "--ignore-not-found", "--timeout=60s"]).await?;
        }
        self.uninstall_chart().await?;
        // Owners let these go; an operator that never came up has entered none.
        self.cluster.kubectl(&["delete", "clusterroles", "-l", "app.kubernetes.io/part-of=ferromesh", "--ignore-not-found"]).await?;
        within(Duration::from_secs(90), "nothing is left", async || self.gone().await).await.map(drop)
    }

    /// The MeshInstall.
    ///
    /// # Errors
    /// When there is none.
    pub async fn install(&self) -> anyhow::Result<MeshInstall> {
        Ok(Api::<MeshInstall>::all(self.cluster.client()).get(MESH).await?)
    }

    /// Whether the MeshInstall says that its last generation is there and healthy.
    ///
    /// # Errors
    /// When it does not, with its own words.
    pub async fn healthy(&self) -> anyhow::Result<MeshInstall> {
        let install = self.install().await?;
        let status = install.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.context("the operator has not looked at the MeshInstall")?;
        anyhow::ensure!(status.observed_generation == install.metadata.generation, "the operator has not seen the last generation");
        anyhow::ensure!(ready.status == "True", "{}: {}", ready.reason, ready.message);
        anyhow::ensure!(status.state == Some(State::Healthy), "state {:?}", status.state);
        Ok(install)
    }

    /// The way to the ingress gateway: an address of the Service that answers, else a forwarded port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ingress(&self) -> anyhow::Result<Ingress> {
        const GATEWAY: &str = "istio-ingressgateway";
        for address in self.cluster.addresses(CONTROL_PLANE, GATEWAY, 80).await? {
            let visitor = Visitor::new(format!("http://{address}"));
            // Any answer will do. A gateway without a route may not listen yet, so that the node refuses: it is tried later.
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), visitor.get("/", &[])).await {
                return Ok(Ingress { visitor, _forward: None });
            }
        }
        let forward = Forward::to(&self.cluster, CONTROL_PLANE, &format!("service/{GATEWAY}"), 80).await?;
        anyhow::ensure!(forward.visitor.get("/", &[]).await.is_ok(), "the ingress gateway does not answer");
        Ok(Ingress { visitor: forward.visitor.clone(), _forward: Some(forward) })
    }

    /// Whether the cluster holds nothing of the mesh but its CRDs, the CA's Secret and namespaces.
    ///
    /// # Errors
    /// When it does, with what is left.
    pub async fn gone(&self) -> anyhow::Result<()> {
        let mut left = self.webhooks().await?;
        left.extend(self.names::<ClusterRole>("clusterrole").await?);
        left.extend(self.names::<ClusterRoleBinding>("clusterrolebinding").await?);
        for namespace in [CONTROL_PLANE, OPERATOR] {
            let deployments = self.cluster.api::<Deployment>(namespace).list(&ListParams::default()).await?;
            left.extend(deployments.iter().map(|deployment| format!("deployment {namespace}/{}", deployment.name_any())));
        }
        anyhow::ensure!(left.is_empty(), "left: {}", left.join(", "));
        Ok(())
    }

    /// The mesh's webhook configurations.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn webhooks(&self) -> anyhow::Result<Vec<String>> {
        let mut names = self.names::<MutatingWebhookConfiguration>("mutating webhook").await?;
        names.extend(self.names::<ValidatingWebhookConfiguration>("validating webhook").await?);
        Ok(names)
    }

    /// Objects of the whole cluster that are ours by their name.
    async fn names<K>(&self, kind: &str) -> anyhow::Result<Vec<String>>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        const OURS: [&str; 4] = ["ferromesh-", "istio-sidecar-injector", "istio-galley", "istio-revision-tag-"];
        let all = Api::<K>::all(self.cluster.client()).list(&ListParams::default()).await?;
        let ours = all.iter().map(ResourceExt::name_any).filter(|name| OURS.iter().any(|prefix| name.starts_with(prefix)));
        Ok(ours.map(|name| format!("{kind} {name}")).collect())
    }

    /// All MeshInstalls; none where their CRD is missing.
    async fn installs(&self) -> anyhow::Result<Vec<MeshInstall>> {
        match Api::<MeshInstall>::all(self.cluster.client()).list(&ListParams::default()).await {
            Ok(installs) => Ok(installs.items),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
