//! The watches: one a kind, selected as narrowly as the operator's rights are.

use futures::{Stream, StreamExt, future::ready, stream::SelectAll};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Api, Client,
    core::{DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::pin::Pin;

use super::{
    credentials::NamingKind,
    live::Seen,
    object::{Kind, Scope},
    plan::{MANAGED_BY, MANAGER},
};

/// Messages of several watches, as they come.
pub(super) type Changes = SelectAll<Pin<Box<dyn Stream<Item = Seen> + Send>>>;

/// What is watched as long as the operator leads: kinds of the whole cluster, the Secrets with the operator's own certificates, and what
/// names gateways' Secrets.
pub(super) fn of_cluster(client: &Client, operator_namespace: &str, secrets: &[&str]) -> Changes {
    let mut changes = Changes::new();
    for kind in Kind::OF_CLUSTER {
        // All webhook configurations, because those of another Istio matter too.
        let all = matches!(kind, Kind::MutatingWebhookConfiguration | Kind::ValidatingWebhookConfiguration);
        let config = if all { watcher::Config::default() } else { ours() };
        changes.push(objects(client, Scope::of_cluster(kind), config));
    }
    for secret in secrets {
        changes.push(certificate(client, operator_namespace, secret));
    }
    for kind in NamingKind::ALL {
        changes.extend(kind.api(client).map(|api| naming(kind, api)));
    }
    changes
}

/// What is watched in a namespace, once the operator has its rights there: objects of these kinds, and the operator's pods.
pub(super) fn of_namespace(client: &Client, namespace: &str, kinds: &[Kind]) -> Changes {
    let mut changes = Changes::new();
    for kind in kinds {
        changes.push(objects(client, Scope::within(*kind, namespace), ours()));
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let place = namespace.to_owned();
    changes.push(watcher(pods, ours()).default_backoff().map(move |event| Seen::Pod(place.clone(), Box::new(event))).boxed());
    changes.push(end_of_namespace(client, namespace));
    changes
}

fn objects(client: &Client, scope: Scope, config: watcher::Config) -> Pin<Box<dyn Stream<Item = Seen> + Send>> {
    let api = scope.kind.api(client, scope.namespace.as_deref().unwrap_or_default());
    watcher(api, config).default_backoff().map(move |event| Seen::Object(scope.clone(), Box::new(event))).boxed()
}

fn naming(kind: NamingKind, api: Api<DynamicObject>) -> Pin<Box<dyn Stream<Item = Seen> + Send>> {
    let events = watcher(api, watcher::Config::default()).default_backoff();
    events.map(move |event| Seen::Naming(kind, Box::new(event))).boxed()
}

/// A Secret's metadata is enough to know that it changed.
pub(super) fn certificate(client: &Client, namespace: &str, name: &str) -> Pin<Box<dyn Stream<Item = Seen> + Send>> {
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    let events = watcher(secrets, watcher::Config::default().fields(&format!("metadata.name={name}"))).default_backoff();
    events
        .filter_map(|event| ready(matches!(event, Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)).then_some(Seen::Certificate)))
        .boxed()
}

fn end_of_namespace(client: &Client, name: &str) -> Pin<Box<dyn Stream<Item = Seen> + Send>> {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let events = watcher(namespaces, watcher::Config::default().fields(&format!("metadata.name={name}"))).default_backoff();
    let going = |namespace: &PartialObjectMeta<Namespace>| namespace.metadata.deletion_timestamp.is_some();
    events
        .filter_map(move |event| {
            ready(match event {
                Ok(Event::Delete(_)) => Some(Seen::NamespaceGone),
                Ok(Event::Apply(namespace) | Event::InitApply(namespace)) if going(&namespace) => Some(Seen::NamespaceGone),
                _ => None,
            })
        })
        .boxed()
}

/// What carries our label.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"))
}
