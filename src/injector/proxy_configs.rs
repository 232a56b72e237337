//! ProxyConfigs: settings of single workloads' proxies, and which of them hold for a pod.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use ferromesh_crds::networking;
use futures::{Stream, StreamExt};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;

use super::{known::Known, pod::PodView};
use crate::config::{self, ParseContext};
use crate::model::{ObjectRef, ProxyConfig, ProxyImage, ProxySettings};
use crate::runtime::{ReadyGuard, Shutdown, causes};

/// After so many answers that there is no such kind, that is believed.
const ABSENT_AFTER: u32 = 3;

/// The ProxyConfigs of a cluster.
#[derive(Clone, Debug, Default)]
pub struct ProxyConfigs(HashMap<Arc<str>, Vec<Arc<ProxyConfig>>>);

// === impl ProxyConfigs ===

impl FromIterator<Arc<ProxyConfig>> for ProxyConfigs {
    fn from_iter<I: IntoIterator<Item = Arc<ProxyConfig>>>(objects: I) -> Self {
        let mut by_namespace: HashMap<_, Vec<_>> = HashMap::new();
        for object in objects {
            by_namespace.entry(object.origin.namespace.clone()).or_default().push(object);
        }
        // The youngest first: the older ones, which count more, come over it.
        by_namespace.values_mut().for_each(|list| list.sort_by_key(|it| std::cmp::Reverse((it.created, it.origin.clone()))));
        Self(by_namespace)
    }
}

impl ProxyConfigs {
    /// What a proxy of that namespace starts from: the mesh's settings, over them what is said for the whole mesh, then for the namespace.
    pub(super) fn under(&self, mesh: &ProxySettings, root: &str, namespace: &str) -> ProxySettings {
        let mut settings = mesh.clone();
        let namespaces = [Some(root), (namespace != root).then_some(namespace)];
        for object in namespaces.into_iter().flatten().filter_map(|it| self.0.get(it)).flatten().filter(|it| it.selector.is_empty()) {
            put(object, &mut settings);
        }
        settings
    }

    /// Puts what is said for the pod itself over what its annotation says.
    pub(super) fn over(&self, settings: &mut ProxySettings, namespace: &str, pod: &PodView<'_>) {
        let selects = |it: &&Arc<ProxyConfig>| {
            !it.selector.is_empty() && it.selector.iter().all(|(name, value)| pod.label(name) == Some(value.as_str()))
        };
        self.0.get(namespace).into_iter().flatten().filter(selects).for_each(|object| put(object, settings));
    }
}

/// Variables add up, name by name.
fn put(object: &ProxyConfig, settings: &mut ProxySettings) {
    if let Some(concurrency) = object.concurrency {
        settings.concurrency = concurrency;
    }
    settings.proxy_metadata.extend(object.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(kind) = &object.image_type {
        settings.image = Some(ProxyImage { image_type: kind.to_string() });
    }
}

/// Watches the cluster's ProxyConfigs until shutdown; releases `ready` once the first list is complete, or once it is clear that the
/// cluster does not have the kind.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn follow(
    client: Client,
    publish: watch::Sender<Arc<ProxyConfigs>>,
    ready: ReadyGuard,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let events = watcher::watcher(Api::<networking::ProxyConfig>::all(client), watcher::Config::default()).default_backoff();
    tokio::select! {
        () = shutdown.requested() => {}
        () = watch(events, publish, || drop(ready)) => {}
    }
    Ok(())
}

/// Follows events for ever; calls `known` once. Ends only if the stream does.
async fn watch<S>(events: S, publish: watch::Sender<Arc<ProxyConfigs>>, known: impl FnOnce())
where
    S: Stream<Item = watcher::Result<watcher::Event<networking::ProxyConfig>>>,
{
    let mut events = std::pin::pin!(events);
    let (mut known, mut absent) = (Some(known), 0);
    let mut objects = Known::default();
    while let Some(event) = events.next().await {
        let complete = match event {
            Ok(event) => objects.take(event, origin, understood),
            Err(error) => {
                absent = if is_absent(&error) { absent + 1 } else { 0 };
                tracing::warn!(error = causes(&error), "watching ProxyConfigs failed; trying again");
                absent >= ABSENT_AFTER
            }
        };
        if complete {
            publish.send_replace(Arc::new(objects.objects().values().cloned().collect()));
            if let Some(known) = known.take() {
                known();
            }
        }
    }
}

fn origin(object: &networking::ProxyConfig) -> ObjectRef {
    ObjectRef::new("ProxyConfig", &object.namespace().unwrap_or_default(), &object.name_any())
}

/// An object as it is now. One that can't be understood has no effect, as if it were not there.
fn understood(object: &networking::ProxyConfig) -> Option<Arc<ProxyConfig>> {
    match config::proxy_config(object, &ParseContext::default()) {
        Ok(parsed) => Some(Arc::new(parsed.value)),
        Err(error) => {
            let origin = origin(object);
            tracing::warn!(name = %origin.name, ns = %origin.namespace, %error, "ProxyConfig refused");
            None
        }
    }
}

fn is_absent(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::annotations::{Defaults, SidecarOptions};
    use crate::model::SidecarDefaults;
    use futures::stream;
    use serde_json::{Value, json};

    fn object(namespace: &str, name: &str, created: &str, spec: &Value) -> networking::ProxyConfig {
        let metadata = json!({"namespace": namespace, "name": name, "creationTimestamp": created});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn known(objects: &[networking::ProxyConfig]) -> ProxyConfigs {
        objects.iter().filter_map(understood).collect()
    }

    fn options(configs: &ProxyConfigs, namespace: &str, annotation: &str) -> ProxySettings {
        let pod = json!({"metadata": {"labels": {"app": "reviews"}, "annotations": {"proxy.istio.io/config": annotation}}, "spec": {}});
        let mesh = ProxySettings { proxy_metadata: [("A".to_owned(), "mesh".to_owned())].into(), ..ProxySettings::default() };
        let pod = PodView::new(&pod);
        let proxy_config = configs.under(&mesh, "istio-system", namespace);
        let defaults = Defaults { proxy_config: &proxy_config, sidecar: &SidecarDefaults::default(), merge_metrics: true };
        let mut settings = SidecarOptions::of(&pod, &defaults).unwrap().proxy_config;
        configs.over(&mut settings, namespace, &pod);
        settings
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const YOUNG: &str = "2026-02-01T00:00:00Z";

    #[test]
    fn the_more_specific_counts_and_an_object_for_the_pod_outweighs_its_annotation() {
        let variables = |value: &str| json!({"environmentVariables": {"A": value, value: "yes"}});
        let mesh = object("istio-system", "mesh", OLD, &variables("root"));
        let namespace = object("shop", "all", OLD, &variables("namespace"));
        let mut spec = variables("workload");
        spec["selector"] = json!({"matchLabels": {"app": "reviews"}});
        let workload = object("shop", "reviews", OLD, &spec);
        let annotation = "proxyMetadata: {A: annotation, annotation: 'yes'}";
        let a = |objects: &[_], namespace, annotation| options(&known(objects), namespace, annotation).proxy_metadata["A"].clone();
        assert_eq!(a(&[], "shop", "{}"), "mesh");
        assert_eq!(a(std::slice::from_ref(&mesh), "shop", "{}"), "root");
        assert_eq!(a(&[mesh.clone(), namespace.clone()], "shop", "{}"), "namespace");
        assert_eq!(a(&[mesh.clone(), namespace.clone()], "data", "{}"), "root");
        assert_eq!(a(&[mesh.clone(), namespace.clone()], "shop", annotation), "annotation");
        let all = known(&[mesh, namespace, workload]);
        let settings = options(&all, "shop", annotation);
        assert_eq!(settings.proxy_metadata["A"], "workload");
        for level in ["root", "namespace", "annotation", "workload"] {
            assert_eq!(settings.proxy_metadata[level], "yes");
        }
    }

    #[test]
    fn of_several_the_oldest_counts_and_zero_threads_is_a_setting() {
        let young = object("shop", "a", YOUNG, &json!({"concurrency": 7, "image": {"imageType": "debug"}}));
        let old = object("shop", "b", OLD, &json!({"concurrency": 0}));
        let settings = options(&known(&[young, old]), "shop", "{}");
        assert_eq!((settings.concurrency, settings.image.map(|image| image.image_type)), (0, Some("debug".to_owned())));
    }

    #[test]
    fn an_object_selects_in_its_own_namespace_alone() {
        let spec = json!({"concurrency": 7, "selector": {"matchLabels": {"app": "reviews"}}});
        let configs = known(&[object("istio-system", "a", OLD, &spec)]);
        assert_eq!(options(&configs, "shop", "{}").concurrency, 2);
        assert_eq!(options(&configs, "istio-system", "{}").concurrency, 7);
    }

    async fn after(events: Vec<watcher::Result<watcher::Event<networking::ProxyConfig>>>) -> (u32, bool) {
        let (publish, configs) = watch::channel(Arc::default());
        let mut known = false;
        watch(stream::iter(events), publish, || known = true).await;
        let configs: Arc<ProxyConfigs> = configs.borrow().clone();
        (options(&configs, "shop", "{}").concurrency, known)
    }

    #[tokio::test]
    async fn objects_are_followed() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let with = |concurrency: i64| object("shop", "a", OLD, &json!({"concurrency": concurrency}));
        assert_eq!(after(vec![Ok(Init), Ok(InitApply(with(5)))]).await, (2, false));
        assert_eq!(after(vec![Ok(Init), Ok(InitApply(with(5))), Ok(InitDone)]).await, (5, true));
        assert_eq!(after(vec![Ok(Init), Ok(InitDone), Ok(Apply(with(6)))]).await, (6, true));
        assert_eq!(after(vec![Ok(Init), Ok(InitApply(with(5))), Ok(InitDone), Ok(Delete(with(5)))]).await, (2, true));
        // What was understood before does not stay once it is no longer what the object says.
        assert_eq!(after(vec![Ok(Init), Ok(InitApply(with(5))), Ok(InitDone), Ok(Apply(with(-5)))]).await, (2, true));
    }

    #[tokio::test]
    async fn a_cluster_without_the_kind_injects_all_the_same() {
        let absent = || {
            let status = kube::core::Status { code: 404, ..kube::core::Status::default() };
            Err(watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status))))
        };
        assert_eq!(after(vec![absent(), absent()]).await, (2, false));
        assert_eq!(after(vec![absent(), absent(), absent()]).await, (2, true));
    }
}
