//! The labels of namespaces, among which is how far their pods may go.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Arc,
};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;

use super::known::Known;
use crate::runtime::{ReadyGuard, Shutdown, causes};

type Labels = Arc<BTreeMap<String, String>>;

/// The labels of each namespace that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct NamespaceLabels(HashMap<String, Labels>);

// === impl NamespaceLabels ===

impl NamespaceLabels {
    /// The labels of a namespace; `None` where it is not known, as one that was made just now.
    pub(super) fn of(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.0.get(namespace).map(|labels| &**labels)
    }
}

/// Watches the cluster's namespaces, no more of them than their metadata, until shutdown; releases `ready` once the first list is complete.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn follow(
    client: Client,
    publish: watch::Sender<Arc<NamespaceLabels>>,
    ready: ReadyGuard,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher::watcher(namespaces, watcher::Config::default()).default_backoff();
    tokio::select! {
        () = shutdown.requested() => {}
        () = watch(events, publish, || drop(ready)) => {}
    }
    Ok(())
}

/// Follows events for ever; calls `synced` once the first list is complete. Ends only if the stream does.
async fn watch<S>(events: S, publish: watch::Sender<Arc<NamespaceLabels>>, synced: impl FnOnce())
where
    S: Stream<Item = watcher::Result<watcher::Event<PartialObjectMeta<Namespace>>>>,
{
    let mut events = std::pin::pin!(events);
    let mut synced = Some(synced);
    let mut known: Known<String, Labels> = Known::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if known.take(event, ResourceExt::name_any, |namespace| Some(Arc::new(namespace.labels().clone()))) {
                    publish.send_replace(Arc::new(NamespaceLabels(known.objects().clone().into_iter().collect())));
                    if let Some(synced) = synced.take() {
                        synced();
                    }
                }
            }
            Err(error) => tracing::warn!(error = causes(&error), "watching namespaces failed; trying again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::json;

    fn namespace(name: &str, level: &str) -> PartialObjectMeta<Namespace> {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"level": level}}})).unwrap()
    }

    #[tokio::test]
    async fn labels_are_followed() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let (publish, labels) = watch::channel(Arc::default());
        let mut known = false;
        let events = vec![Init, InitApply(namespace("a", "1")), InitApply(namespace("b", "1")), InitDone, Apply(namespace("a", "2"))];
        let events = events.into_iter().chain([Delete(namespace("b", "1"))]).map(Ok);
        watch(stream::iter(events), publish, || known = true).await;
        let labels: Arc<NamespaceLabels> = labels.borrow().clone();
        assert!(known);
        assert_eq!(labels.of("a").map(|labels| labels["level"].as_str()), Some("2"));
        assert_eq!(labels.of("b"), None);
    }
}
