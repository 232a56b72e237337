//! What is in the cluster, as the watches tell it.

use k8s_openapi::api::core::v1::Pod;
use kube::{core::DynamicObject, runtime::watcher};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    credentials::{Credentials, NamingKind},
    foreign::is_ours,
    object::{Key, Kind},
    plan::APPLIED,
};
use crate::runtime::causes;

/// One message of a watch.
pub(super) enum Seen {
    Object(Kind, Box<watcher::Result<watcher::Event<DynamicObject>>>),
    Pod(Box<watcher::Result<watcher::Event<Pod>>>),
    /// An object that may name Secrets of gateways.
    Naming(NamingKind, Box<watcher::Result<watcher::Event<DynamicObject>>>),
    /// A Secret with a certificate was changed or removed, or is watched anew.
    Certificate,
    /// The mesh's namespace is going or gone.
    NamespaceGone,
}

/// The objects that the watches have shown so far.
#[derive(Debug, Default)]
pub(super) struct Live {
    objects: BTreeMap<Key, Value>,
    pods: BTreeMap<String, Pod>,
    listed: BTreeSet<Kind>,
    /// Why a watch fails at present.
    broken: BTreeMap<Kind, String>,
    /// The Secrets that gateways need.
    pub(super) credentials: Credentials,
}

// === impl Live ===

impl Live {
    /// Takes in a message; whether it tells something that a pass should look at.
    pub(super) fn note(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Object(kind, event) => self.object(kind, *event),
            Seen::Pod(event) => self.pod(*event),
            Seen::Naming(kind, event) => self.credentials.note(kind, *event),
            Seen::Certificate | Seen::NamespaceGone => true,
        }
    }

    /// Forgets what is in the mesh's namespace, which is watched anew.
    pub(super) fn forget_namespace(&mut self) {
        self.objects.retain(|key, _| key.namespace.is_none());
        self.pods.clear();
        for kind in Kind::NAMESPACED {
            self.listed.remove(&kind);
            self.broken.remove(&kind);
        }
    }

    /// The kinds of which nothing is known yet, with the reason if there is one.
    pub(super) fn unlisted(&self) -> Vec<(Kind, Option<&str>)> {
        let all = Kind::OF_CLUSTER.into_iter().chain(Kind::NAMESPACED);
        all.filter(|kind| !self.listed.contains(kind)).map(|kind| (kind, self.broken.get(&kind).map(String::as_str))).collect()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Takes in what a write answered, without waiting for its event.
    pub(super) fn put(&mut self, key: Key, object: Value) {
        self.objects.insert(key, object);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    /// Objects that the operator applied for this owner: with its mark under their own name.
    pub(super) fn applied_for<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Key> {
        let owned = move |object: &Value| {
            object["metadata"]["ownerReferences"].as_array().is_some_and(|all| all.iter().any(|one| one["uid"] == owner))
        };
        self.objects
            .iter()
            .filter(move |(key, object)| owned(object) && mark(object).is_some_and(|(name, _)| name == key.name))
            .map(|(key, _)| key)
    }

    /// Webhook configurations of another Istio, which would do the same to the same pods.
    pub(super) fn foreign_mesh(&self) -> Option<&Key> {
        let webhooks = |key: &Key| matches!(key.kind, Kind::MutatingWebhookConfiguration | Kind::ValidatingWebhookConfiguration);
        self.objects.iter().find(|(key, object)| webhooks(key) && is_of_istio(key) && !is_ours(key, object)).map(|(key, _)| key)
    }

    /// Pods of one Deployment of ours.
    pub(super) fn pods_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Pod> {
        let label = |pod: &Pod| pod.metadata.labels.as_ref()?.get("app.kubernetes.io/name").cloned();
        self.pods.values().filter(move |pod| label(pod).as_deref() == Some(name))
    }

    fn object(&mut self, kind: Kind, event: watcher::Result<watcher::Event<DynamicObject>>) -> bool {
        match event {
            Ok(watcher::Event::Init) => {
                self.objects.retain(|key, _| key.kind != kind);
                self.listed.remove(&kind);
                false
            }
            Ok(watcher::Event::InitDone) => {
                self.broken.remove(&kind);
                self.listed.insert(kind)
            }
            Ok(watcher::Event::InitApply(object)) => {
                self.keep(kind, &object);
                false
            }
            Ok(watcher::Event::Apply(object)) => self.keep(kind, &object),
            Ok(watcher::Event::Delete(object)) => self.objects.remove(&key_of(kind, &object)).is_some(),
            Err(error) => {
                let cause = causes(&error);
                tracing::warn!(cause, kind = kind.name(), "watch broken");
                self.broken.insert(kind, cause.clone()) != Some(cause)
            }
        }
    }

    fn keep(&mut self, kind: Kind, object: &DynamicObject) -> bool {
        let key = key_of(kind, object);
        let object = stripped(kind, serde_json::to_value(object).unwrap_or_default());
        let changed = self.objects.get(&key).is_none_or(|known| without_version(known) != without_version(&object));
        self.objects.insert(key, object);
        changed
    }

    fn pod(&mut self, event: watcher::Result<watcher::Event<Pod>>) -> bool {
        match event {
            Ok(watcher::Event::Init) => self.pods.clear(),
            Ok(watcher::Event::InitDone) => return true,
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                self.pods.insert(pod.metadata.name.clone().unwrap_or_default(), pod);
                return true;
            }
            Ok(watcher::Event::Delete(pod)) => return self.pods.remove(&pod.metadata.name.unwrap_or_default()).is_some(),
            Err(error) => tracing::warn!(error = causes(&error), "watch of pods broken"),
        }
        false
    }
}

/// The name and the hash that an object was marked with when it was applied.
pub(super) fn mark(object: &Value) -> Option<(&str, &str)> {
    object["metadata"]["annotations"][APPLIED].as_str()?.split_once('/')
}

/// An object without what nobody here reads.
pub(super) fn stripped(kind: Kind, mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // As large as the rest.
        metadata.remove("managedFields");
    }
    if let (Kind::Lease, Some(fields)) = (kind, object.as_object_mut()) {
        // Changes every two seconds, and is its holder's.
        fields.remove("spec");
    }
    object
}

fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object
}

fn key_of(kind: Kind, object: &DynamicObject) -> Key {
    let metadata = &object.metadata;
    Key::new(kind, metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn is_of_istio(key: &Key) -> bool {
    ["istio-sidecar-injector", "istio-revision-tag-", "istio-validator", "istiod-", "istio-galley"]
        .iter()
        .any(|start| key.name.starts_with(start))
}
