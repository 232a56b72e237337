//! Names that can be told: the cluster's, asked for at once and not for long, and those that are known without one.

use clap_complete::CompletionCandidate;
use ferromesh_crds::install::Profile;
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod, Service},
    },
};
use kube::{Api, Resource, ResourceExt, api::ListParams, config::Kubeconfig};
use serde::de::DeserializeOwned;
use std::{ffi::OsStr, fmt::Debug, time::Duration};

use super::{settings::settings, words::Words};
use crate::cli::{
    cluster::{Cluster, ask},
    codes::explanations,
    document::Explanation,
    exit::Failure,
    install::{meshes, spec_schema},
    tag::revision_of,
};

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Contexts of the kubeconfig.
    Contexts,
    Namespaces,
    /// Pods of the namespace; `POD.NAMESPACE` of all once a dot is typed, `deploy/NAME` once a slash is.
    Pods,
    Services,
    Deployments,
    Profiles,
    /// Codes of findings.
    Codes,
    /// Fields of a MeshInstall's spec, and their values.
    Settings,
    /// Names that stand for control planes.
    Tags,
    /// Names of control planes.
    Revisions,
}

/// So long a person waits for names without thinking that the shell hangs.
const LONGEST: Duration = Duration::from_millis(1500);
/// So many names are read of a kind: more nobody looks through.
const MOST: u32 = 500;

/// The names; none if they can't be read in time.
pub(super) fn names(kind: Names, words: &Words, current: &OsStr) -> Vec<CompletionCandidate> {
    let plain = |names: Vec<String>| names.into_iter().map(CompletionCandidate::new).collect::<Vec<_>>();
    match kind {
        Names::Codes => {
            let told = |it: Explanation| CompletionCandidate::new(it.code).help(Some(it.meaning.into()));
            explanations().into_iter().map(told).collect()
        }
        Names::Profiles => plain(Profile::ALL.into_iter().map(|profile| profile.name().to_owned()).collect()),
        Names::Settings => plain(settings(&current.to_string_lossy(), spec_schema())),
        Names::Contexts => plain(contexts(words).unwrap_or_default()),
        kind => plain(ask(LONGEST, of_cluster(kind, words, current)).unwrap_or_default()),
    }
}

fn contexts(words: &Words) -> Option<Vec<String>> {
    let read = match words.cluster().kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    Some(read.ok()?.contexts.into_iter().map(|context| context.name).collect())
}

async fn of_cluster(kind: Names, words: &Words, current: &OsStr) -> Result<Vec<String>, Failure> {
    let cluster = words.cluster().connect().await?;
    let typed = current.to_string_lossy();
    match kind {
        Names::Namespaces => everywhere::<Namespace>(&cluster).await,
        Names::Services => within::<Service>(&cluster, words).await,
        Names::Deployments => within::<Deployment>(&cluster, words).await,
        Names::Pods => match typed.split_once('/') {
            Some((prefix @ ("deploy" | "deployment"), _)) => {
                let names = within::<Deployment>(&cluster, words).await?;
                Ok(names.into_iter().map(|name| format!("{prefix}/{name}")).collect())
            }
            Some(_) => Ok(Vec::new()),
            None if typed.contains('.') => of_all_namespaces(&cluster).await,
            None => within::<Pod>(&cluster, words).await,
        },
        Names::Revisions => Ok(meshes(&cluster.client).await?.iter().map(|mesh| revision_of(mesh).to_owned()).collect()),
        Names::Tags => Ok(meshes(&cluster.client).await?.into_iter().flat_map(|mesh| mesh.spec.tags.into_keys()).collect()),
        Names::Contexts | Names::Profiles | Names::Codes | Names::Settings => Ok(Vec::new()),
    }
}

async fn everywhere<K>(cluster: &Cluster) -> Result<Vec<String>, Failure>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    list(Api::<K>::all(cluster.client.clone()), |object| object.name_any()).await
}

async fn within<K>(cluster: &Cluster, words: &Words) -> Result<Vec<String>, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let namespace = words.namespace().unwrap_or_else(|| cluster.namespace.clone());
    list(Api::<K>::namespaced(cluster.client.clone(), &namespace), |object| object.name_any()).await
}

async fn of_all_namespaces(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let name = |pod: kube::core::PartialObjectMeta<Pod>| format!("{}.{}", pod.name_any(), pod.namespace().unwrap_or_default());
    list(Api::<Pod>::all(cluster.client.clone()), name).await
}

async fn list<K>(api: Api<K>, name: impl Fn(kube::core::PartialObjectMeta<K>) -> String) -> Result<Vec<String>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    #[expect(clippy::disallowed_methods, reason = "a person at a prompt needs no more than the first page")]
    let found = api.list_metadata(&ListParams::default().limit(MOST)).await.map_err(|error| Failure::cluster("list names", &error))?;
    Ok(found.items.into_iter().map(name).collect())
}
