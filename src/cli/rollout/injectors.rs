//! The injectors of a cluster, as they are there.

use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, apps::v1::Deployment};
use kube::{Api, api::ListParams};

use crate::cli::{
    cluster::Cluster,
    exit::{Exit, Failure},
    mesh::{OURS, is_ours, values},
};
use crate::injector::parse;
use crate::model::of_revision;
use crate::operator::LiveInjector;
use crate::runtime::list_all;

/// What each injector of ours is asked about and told, and whether it answers.
///
/// # Errors
/// When that can't be read, or there is none.
pub(super) async fn injectors(cluster: &Cluster, namespace: &str) -> Result<Vec<LiveInjector>, Failure> {
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let found =
        list_all(&webhooks, &ListParams::default()).await.map_err(|error| Failure::cluster("list webhook configurations", &error))?;
    let mut injectors = Vec::new();
    for configuration in found.iter().filter_map(parse).filter(|configuration| is_ours(&configuration.name)) {
        let injector = of_revision(OURS, &configuration.revision);
        let values = values(cluster, namespace, &injector).await?;
        let ready = ready(cluster, namespace, &injector).await?;
        injectors.push(LiveInjector { entries: configuration.entries, values, ready });
    }
    if injectors.is_empty() {
        return Err(Failure::new(Exit::Failed, "the cluster has no injector, so no pod is to have a sidecar: ferromesh check"));
    }
    Ok(injectors)
}

async fn ready(cluster: &Cluster, namespace: &str, injector: &str) -> Result<bool, Failure> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let found = api.get_opt(injector).await;
    let found = found.map_err(|error| Failure::cluster(format_args!("read Deployment {namespace}/{injector}"), &error))?;
    Ok(found.and_then(|it| it.status?.available_replicas).is_some_and(|available| available > 0))
}
