//! Reads the facts of a cluster, all at once.

use ferromesh_crds::MeshInstall;
use futures::future::{join, join_all};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PostParams},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::Duration,
};
use tokio::time::timeout;

use super::facts::{Facts, Known, Webhook};
use crate::cli::{
    cluster::Cluster,
    exit::{Exit, Failure},
    proxy::{Pilots, Pods, Standing},
    rollout::outliers,
};
use crate::operator::Outlier;
use crate::runtime::list_all;

/// How long pilot may take.
const PILOT: Duration = Duration::from_secs(15);
/// Verb, group and resource of what an installation takes.
const RIGHTS: [(&str, &str, &str); 8] = [
    ("create", "", "namespaces"),
    ("create", "", "serviceaccounts"),
    ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("create", "apps", "deployments"),
    ("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("create", "install.ferromesh.dev", "meshinstalls"),
];

/// Reads everything; what can't be read is noted where it would stand.
///
/// # Errors
/// When the API server can't be reached.
pub(super) async fn facts(cluster: &Cluster, mesh_namespace: &str, only: Option<&str>, now: i64) -> Result<Facts, Failure> {
    let client = &cluster.client;
    let version = match client.apiserver_version().await {
        Ok(info) => parsed(&info.major).zip(parsed(&info.minor)).ok_or_else(|| format!("it says {}.{}", info.major, info.minor)),
        Err(error) => {
            let failure = Failure::cluster("ask for the API server's version", &error);
            if failure.exit == Exit::Unreachable {
                return Err(failure);
            }
            Err(failure.message)
        }
    };
    let everywhere = ListParams::default();
    let roots = ListParams::default().fields("metadata.name=istio-ca-root-cert");
    let (meshes, deployments) = join(list::<MeshInstall>(Api::all(client.clone()), &everywhere), all(client)).await;
    let mesh_namespace = installed_in(&meshes).unwrap_or_else(|| mesh_namespace.to_owned());
    let leases = Api::namespaced(client.clone(), "kube-node-lease");
    let mut facts = Facts {
        now,
        only: only.map(str::to_owned),
        version,
        rights: rights(client).await,
        meshes,
        deployments,
        crds: all(client).await,
        cluster_roles: all(client).await,
        nodes: all(client).await,
        leases: list(leases, &everywhere).await,
        namespaces: all(client).await,
        pods: scoped(client, only).await,
        services: scoped(client, only).await,
        endpoints: scoped(client, only).await,
        daemon_sets: all(client).await,
        budgets: all(client).await,
        autoscalers: all(client).await,
        mutating: all(client).await,
        validating: all(client).await,
        roots: list::<ConfigMap>(Api::all(client.clone()), &roots).await,
        certificates: Ok(Vec::new()),
        proxies: proxies(client, &mesh_namespace).await,
        outliers: of_namespace(cluster, &mesh_namespace, only).await,
        mesh_namespace,
    };
    facts.certificates = certificates(client, &facts).await;
    Ok(facts)
}

/// The number that a part of a version begins with: some add a `+`.
fn parsed(text: &str) -> Option<u32> {
    text.trim_end_matches('+').parse().ok()
}

fn installed_in(meshes: &Known<Vec<MeshInstall>>) -> Option<String> {
    meshes.as_ref().ok()?.first().map(|mesh| mesh.spec.namespace().to_owned())
}

async fn list<K: Clone + Debug + DeserializeOwned + Resource<DynamicType = ()>>(api: Api<K>, params: &ListParams) -> Known<Vec<K>> {
    match list_all(&api, params).await {
        Ok(all) => Ok(all),
        // The cluster has no such kind, so no such object.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(Failure::cluster(format_args!("list {}", K::plural(&())), &error).message),
    }
}

async fn all<K: Clone + Debug + DeserializeOwned + Resource<DynamicType = ()>>(client: &Client) -> Known<Vec<K>> {
    list(Api::all(client.clone()), &ListParams::default()).await
}

/// Those of the namespace that is asked about: who has only that one may still ask.
async fn scoped<K>(client: &Client, only: Option<&str>) -> Known<Vec<K>>
where
    K: Clone + Debug + DeserializeOwned + Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match only {
        Some(namespace) => list(Api::namespaced(client.clone(), namespace), &ListParams::default()).await,
        None => all(client).await,
    }
}

async fn rights(client: &Client) -> Known<BTreeMap<String, bool>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = RIGHTS.map(|(verb, group, resource)| {
        let reviews = reviews.clone();
        async move {
            let [verb, group, resource] = [verb, group, resource].map(str::to_owned);
            let attributes = ResourceAttributes {
                verb: Some(verb.clone()),
                group: Some(group),
                resource: Some(resource.clone()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| Failure::cluster("ask for your rights", &error).message)?;
            let allowed = answer.status.map(|status| status.allowed).ok_or("the API server did not tell your rights")?;
            Ok::<_, String>((format!("{verb} {resource}"), allowed))
        }
    });
    join_all(asked).await.into_iter().collect()
}

/// The Secrets with the certificates of the mesh's webhooks, also those of revisions; without their keys.
async fn certificates(client: &Client, facts: &Facts) -> Known<Vec<Secret>> {
    let mut found = Vec::new();
    let asked: BTreeSet<(String, String)> = facts.own_webhooks()?.iter().filter_map(Webhook::certificate).collect();
    for (namespace, name) in asked {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        match secrets.get_opt(&name).await {
            Ok(Some(mut secret)) => {
                if let Some(data) = &mut secret.data {
                    data.retain(|key, _| key == "tls.crt");
                }
                secret.string_data = None;
                found.push(secret);
            }
            Ok(None) => {}
            Err(error) => return Err(Failure::cluster(format_args!("read Secret {namespace}/{name}"), &error).message),
        }
    }
    Ok(found)
}

/// The pods of a namespace whose sidecar is missing or old; none if it is not one that is asked about.
async fn of_namespace(cluster: &Cluster, mesh_namespace: &str, only: Option<&str>) -> Known<Vec<Outlier>> {
    let Some(namespace) = only else { return Ok(Vec::new()) };
    outliers(cluster, mesh_namespace, namespace).await.map_err(|failure| failure.message)
}

async fn proxies(client: &Client, namespace: &str) -> Known<Vec<Standing>> {
    let asked = async { Pilots::find(&Pods::new(client.clone()), namespace).await?.standing().await };
    let late = |_| format!("pilot did not answer within {} s", PILOT.as_secs());
    timeout(PILOT, asked).await.map_err(late)?.map_err(|failure| failure.message)
}
