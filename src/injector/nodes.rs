//! Which nodes can run native sidecar containers.

use std::{collections::HashSet, convert::Infallible, sync::Arc};

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};

use super::known::Known;
use crate::runtime::{ReadyGuard, Shutdown, causes};

/// The first minor version of the kubelet in which native sidecar containers are stable, restarts and probes included.
const NATIVE_SINCE: u32 = 33;

/// A reader of the answer, kept current by [`follow`]. Says no until the nodes are known.
#[derive(Clone, Debug, Default)]
pub struct NativeSidecars(Arc<ArcSwap<Able>>);

/// Who is able.
#[derive(Debug, Default)]
struct Able {
    /// Nodes that are.
    nodes: HashSet<String>,
    /// Nodes that are known and are not.
    unable: HashSet<String>,
    /// Whether all nodes are.
    everywhere: bool,
}

// === impl NativeSidecars ===

impl NativeSidecars {
    /// Whether a pod's sidecar can be a native one: on the node that the pod names, or else wherever the pod lands.
    pub fn on(&self, node: Option<&str>) -> bool {
        let able = self.0.load();
        match node {
            Some(node) if able.nodes.contains(node) => true,
            Some(node) if able.unable.contains(node) => false,
            _ => able.everywhere,
        }
    }
}

/// Watches the cluster's nodes until shutdown; releases `ready` once the first list is complete.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn follow(client: Client, native: NativeSidecars, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
    let events = watcher::watcher(Api::<Node>::all(client), watcher::Config::default()).default_backoff();
    tokio::select! {
        () = shutdown.requested() => {}
        () = watch(events, native, || drop(ready)) => {}
    }
    Ok(())
}

/// Follows node events for ever; calls `synced` once the first list is complete. Ends only if the stream does.
async fn watch<S>(events: S, native: NativeSidecars, synced: impl FnOnce())
where
    S: Stream<Item = watcher::Result<watcher::Event<Node>>>,
{
    let mut events = std::pin::pin!(events);
    let mut synced = Some(synced);
    let mut known = Known::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if known.take(event, name, |node| Some(kubelet_minor(node))) {
                    let (nodes, unable): (Vec<_>, Vec<_>) = known.objects().iter().partition(|(_, minor)| is_able(**minor));
                    let names =
                        |nodes: Vec<(&String, &Option<u32>)>| nodes.into_iter().map(|(name, _)| name.clone()).collect::<HashSet<_>>();
                    let everywhere = all_native(known.objects().values().copied());
                    native.0.store(Arc::new(Able { nodes: names(nodes), unable: names(unable), everywhere }));
                    if let Some(synced) = synced.take() {
                        synced();
                    }
                }
            }
            Err(error) => tracing::warn!(error = causes(&error), "watching nodes failed; trying again"),
        }
    }
}

/// Whether a sidecar can be a native one wherever its pod lands, of nodes that were listed once.
pub fn native_everywhere(nodes: &[Node]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| is_able(kubelet_minor(node)))
}

fn is_able(minor: Option<u32>) -> bool {
    minor.is_some_and(|minor| minor >= NATIVE_SINCE)
}

fn name(node: &Node) -> String {
    node.metadata.name.clone().unwrap_or_default()
}

/// `34` of `v1.34.4`; `None` if the kubelet has not reported, or reports something else.
fn kubelet_minor(node: &Node) -> Option<u32> {
    let version = &node.status.as_ref()?.node_info.as_ref()?.kubelet_version;
    let minor = version.trim_start_matches('v').split('.').nth(1)?;
    minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// A cluster without nodes, or with one that cannot be read, is not known to be able.
fn all_native(minors: impl Iterator<Item = Option<u32>>) -> bool {
    let mut minors = minors.peekable();
    minors.peek().is_some() && minors.all(|minor| minor.is_some_and(|minor| minor >= NATIVE_SINCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use k8s_openapi::api::core::v1::{NodeStatus, NodeSystemInfo};

    fn node(name: &str, version: &str) -> Node {
        let info = NodeSystemInfo { kubelet_version: version.to_owned(), ..NodeSystemInfo::default() };
        let mut node = Node { status: Some(NodeStatus { node_info: Some(info), ..NodeStatus::default() }), ..Node::default() };
        node.metadata.name = Some(name.to_owned());
        node
    }

    async fn known(events: Vec<watcher::Event<Node>>) -> NativeSidecars {
        let native = NativeSidecars::default();
        watch(stream::iter(events.into_iter().map(Ok)), native.clone(), || ()).await;
        native
    }

    async fn after(events: Vec<watcher::Event<Node>>) -> bool {
        known(events).await.on(None)
    }

    #[tokio::test]
    async fn one_old_node_is_enough_to_say_no_until_it_goes() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let old = || node("b", "v1.28.2-eks.1");
        assert!(after(vec![Init, InitApply(node("a", "v1.34.4")), InitDone]).await);
        assert!(!after(vec![Init, InitApply(node("a", "v1.34.4")), InitDone, Apply(old())]).await);
        assert!(after(vec![Init, InitApply(node("a", "v1.34.4")), InitApply(old()), InitDone, Delete(old())]).await);
    }

    #[tokio::test]
    async fn unknown_nodes_mean_no() {
        use watcher::Event::{Init, InitApply, InitDone};
        assert!(!after(vec![]).await);
        assert!(!after(vec![Init, InitApply(node("a", "")), InitDone]).await);
    }

    #[tokio::test]
    async fn the_node_that_a_pod_names_decides() {
        use watcher::Event::{Init, InitApply, InitDone};
        let native = known(vec![Init, InitApply(node("new", "v1.34.4")), InitApply(node("old", "v1.28.2")), InitDone]).await;
        assert!(native.on(Some("new")) && !native.on(Some("old")));
        assert!(!native.on(Some("unknown")), "as for a pod that names none");
        let native = known(vec![Init, InitApply(node("new", "v1.34.4")), InitDone]).await;
        assert!(native.on(Some("unknown")));
    }
}
