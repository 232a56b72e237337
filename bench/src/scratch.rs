//! A namespace of the cluster's that lives as long as what is measured in it.

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

/// Makes the namespace, does the work, and removes the namespace with all that is in it: also when the work fails or is interrupted.
pub(crate) async fn within<T>(client: &Client, name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.with_context(|| format!("namespace {name} can't be made; what an earlier run left may still be going"))?;
    let outcome = tokio::select! {
        outcome = work => outcome,
        interrupt = tokio::signal::ctrl_c() => interrupt.map_err(Into::into).and_then(|()| bail!("interrupted")),
    };
    let removed = namespaces.delete(name, &DeleteParams::default()).await;
    let outcome = outcome?;
    removed.with_context(|| format!("namespace {name} can't be removed"))?;
    Ok(outcome)
}
