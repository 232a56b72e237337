//! What a cluster has of an installation: its MeshInstall, and its operator.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Container};
use kube::{Api, Client, ResourceExt, api::ListParams};
use std::time::Duration;

use super::verify::readiness;
use crate::cli::exit::Failure;
use crate::model::parse_duration;
use crate::operator::Images;
use crate::runtime::list_all;

/// The labels of the operator's Deployment.
const OPERATOR: &str = "app.kubernetes.io/name=ferromesh-operator,app.kubernetes.io/component=operator";

/// An operator that is installed.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) namespace: String,
    /// The images that it installs where a MeshInstall names none.
    pub(super) images: Images,
    /// The release of Helm's that it belongs to.
    pub(super) release: Option<String>,
    /// Whether it answers, or why not.
    pub(super) ready: Result<(), String>,
}

/// The MeshInstalls of a cluster; none as well if it doesn't know the kind.
///
/// # Errors
/// When they can't be listed.
pub(in crate::cli) async fn meshes(client: &Client) -> Result<Vec<MeshInstall>, Failure> {
    match list_all(&Api::<MeshInstall>::all(client.clone()), &ListParams::default()).await {
        Ok(meshes) => Ok(meshes),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(Failure::cluster("list MeshInstalls", &error)),
    }
}

/// The MeshInstall of a revision, which is empty for the default one; where several have it, the oldest.
pub(super) fn of_revision(meshes: &[MeshInstall], revision: &str) -> Option<MeshInstall> {
    let of_it = meshes.iter().filter(|mesh| mesh.spec.revision() == revision);
    of_it.min_by_key(|mesh| (mesh.creation_timestamp().map(|time| time.0), mesh.name_any())).cloned()
}

/// Whether the default one's control plane is there, of which the operator keeps what has begun whoever comes beside it.
pub(super) fn has_begun(meshes: &[MeshInstall]) -> bool {
    let mesh = of_revision(meshes, "");
    mesh.and_then(|mesh| mesh.status).is_some_and(|status| !status.inventory.is_empty())
}

/// The operator of a cluster, if it has one.
///
/// # Errors
/// When Deployments can't be listed.
pub(super) async fn operator(client: &Client) -> Result<Option<Operator>, Failure> {
    let found = list_all(&Api::<Deployment>::all(client.clone()), &ListParams::default().labels(OPERATOR)).await;
    let found = found.map_err(|error| Failure::cluster("look for the operator", &error))?;
    Ok(found.into_iter().next().map(|deployment| Operator::of(&deployment)))
}

/// The namespace of the operator of a cluster, if it has one.
///
/// # Errors
/// When Deployments can't be listed.
pub(in crate::cli) async fn operator_namespace(client: &Client) -> Result<Option<String>, Failure> {
    Ok(operator(client).await?.map(|operator| operator.namespace))
}

/// A time that may be spent: `30s`, `5m`; a number alone is seconds.
pub(in crate::cli) fn timeout(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().map(Duration::from_secs);
    number.or_else(|| parse_duration(text)).ok_or_else(|| "write for example 30s or 5m".to_owned())
}

// === impl Operator ===

impl Operator {
    fn of(deployment: &Deployment) -> Self {
        let containers = deployment.spec.iter().flat_map(|spec| &spec.template.spec).flat_map(|pod| &pod.containers);
        let container = containers.into_iter().next().cloned().unwrap_or_default();
        let published = Images::published();
        let given = |name: &str, default: String| variable(&container, name).unwrap_or(default);
        let labels = deployment.labels();
        let is_helms = labels.get("app.kubernetes.io/managed-by").is_some_and(|manager| manager == "Helm");
        let mut object = serde_json::to_value(deployment).unwrap_or_default();
        object["kind"] = "Deployment".into();
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            images: Images {
                hub: given("FERROMESH_HUB", published.hub),
                tag: given("FERROMESH_TAG", published.tag),
                pull_policy: given("FERROMESH_IMAGE_PULL_POLICY", published.pull_policy),
            },
            release: labels.get("app.kubernetes.io/instance").filter(|_| is_helms).cloned(),
            ready: readiness(&object).unwrap_or(Ok(())),
        }
    }
}

fn variable(container: &Container, name: &str) -> Option<String> {
    container.env.iter().flatten().find(|one| one.name == name)?.value.clone()
}
