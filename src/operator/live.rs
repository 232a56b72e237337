//! What is in the cluster, as the watches tell it.

use k8s_openapi::api::core::v1::Pod;
use kube::{core::DynamicObject, runtime::watcher};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    credentials::{Credentials, NamingKind},
    foreign::is_ours,
    object::{Key, Kind, Scope},
    plan::{APPLIED, COMPONENT, OWN_ROLE},
};
use crate::runtime::causes;

/// One message of a watch.
pub(super) enum Seen {
    Object(Scope, Box<watcher::Result<watcher::Event<DynamicObject>>>),
    /// A pod of this namespace.
    Pod(String, Box<watcher::Result<watcher::Event<Pod>>>),
    /// An object that may name Secrets of gateways.
    Naming(NamingKind, Box<watcher::Result<watcher::Event<DynamicObject>>>),
    /// A Secret with a certificate was changed or removed, or is watched anew.
    Certificate,
    /// The namespace of the mesh or of its nodes' part is going or gone.
    NamespaceGone,
}

/// The objects that the watches have shown so far.
#[derive(Debug)]
pub(super) struct Live {
    objects: BTreeMap<Key, Value>,
    /// By namespace and name.
    pods: BTreeMap<(String, String), Pod>,
    /// What has been listed of what is watched.
    watched: BTreeMap<Scope, bool>,
    /// Why a watch fails at present.
    broken: BTreeMap<Scope, String>,
    /// The Secrets that gateways need.
    pub(super) credentials: Credentials,
}

// === impl Live ===

impl Live {
    /// Nothing is known yet of the kinds of the whole cluster, which are always watched.
    pub(super) fn new() -> Self {
        let watched = Kind::OF_CLUSTER.map(|kind| (Scope::of_cluster(kind), false)).into();
        Self { objects: BTreeMap::new(), pods: BTreeMap::new(), watched, broken: BTreeMap::new(), credentials: Credentials::default() }
    }

    /// Takes in a message; whether it tells something that a pass should look at.
    pub(super) fn note(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Object(scope, event) => self.object(scope, *event),
            Seen::Pod(namespace, event) => self.pod(&namespace, *event),
            Seen::Naming(kind, event) => self.credentials.note(kind, *event),
            Seen::Certificate | Seen::NamespaceGone => true,
        }
    }

    /// Awaits the lists of what is watched in a namespace from now on.
    pub(super) fn await_lists(&mut self, namespace: &str, kinds: &[Kind]) {
        self.watched.extend(kinds.iter().map(|kind| (Scope::within(*kind, namespace), false)));
    }

    /// Whether these are watched.
    pub(super) fn is_watched(&self, scope: &Scope) -> bool {
        self.watched.contains_key(scope)
    }

    /// Forgets what is in namespaces, which are watched anew.
    pub(super) fn forget_namespaces(&mut self) {
        self.objects.retain(|key, _| key.namespace.is_none());
        self.pods.clear();
        self.watched.retain(|scope, _| scope.namespace.is_none());
        self.broken.retain(|scope, _| scope.namespace.is_none());
    }

    /// The kinds of which nothing is known yet, with the reason if there is one.
    pub(super) fn unlisted(&self) -> Vec<(Kind, Option<&str>)> {
        let awaited = self.watched.iter().filter(|(_, listed)| !**listed);
        awaited.map(|(scope, _)| (scope.kind, self.broken.get(scope).map(String::as_str))).collect()
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

    /// Objects that the operator applied, with its mark under their own name, and that aren't about to go; each with the uid of the
    /// MeshInstall that it is for. Others that would inherit it don't count.
    pub(super) fn applied(&self) -> impl Iterator<Item = (&Key, &str)> {
        let marked = self.objects.iter().filter(|(key, object)| mark(object).is_some_and(|(name, _)| name == key.name));
        marked.filter(|(_, object)| !is_going(object)).filter_map(|(key, object)| {
            let owner = object["metadata"]["ownerReferences"].as_array()?.iter().find(|one| one["controller"] == true)?;
            Some((key, owner["uid"].as_str()?))
        })
    }

    /// Whether anything of a MeshInstall's mesh is there beside what it is made in: namespaces, and the operator's own rights in them.
    pub(super) fn has_begun(&self, owner: &str) -> bool {
        self.applied().any(|(key, of)| of == owner && key.kind != Kind::Namespace && key.name != OWN_ROLE)
    }

    /// Webhook configurations of ours by which the injector of a revision is asked.
    pub(super) fn webhooks_of<'a>(&'a self, revision: &'a str) -> impl Iterator<Item = &'a Value> {
        let ours = move |key: &Key, object: &Value| {
            key.kind == Kind::MutatingWebhookConfiguration
                && object["metadata"]["labels"]["istio.io/rev"] == revision
                && is_ours(key, object)
        };
        self.objects.iter().filter(move |(key, object)| ours(key, object)).map(|(_, object)| object)
    }

    /// What the operator applied for a part of the mesh.
    pub(super) fn of_component<'a>(&'a self, owner: &'a str, component: &'a str) -> impl Iterator<Item = &'a Key> {
        let is_of = move |key: &Key| self.objects[key]["metadata"]["labels"][COMPONENT] == component;
        self.applied().filter(move |(key, of)| *of == owner && is_of(key)).map(|(key, _)| key)
    }

    /// Webhook configurations of another Istio, which would do the same to the same pods.
    pub(super) fn foreign_mesh(&self) -> Option<&Key> {
        let webhooks = |key: &Key| matches!(key.kind, Kind::MutatingWebhookConfiguration | Kind::ValidatingWebhookConfiguration);
        self.objects.iter().find(|(key, object)| webhooks(key) && is_of_istio(key) && !is_ours(key, object)).map(|(key, _)| key)
    }

    /// Where pods of one Deployment of ours that are ready answer at a port.
    pub(super) fn addresses_of<'a>(&'a self, name: &'a str, port: u16) -> impl Iterator<Item = SocketAddr> + 'a {
        let address = move |pod: &Pod| {
            let status = pod.status.as_ref()?;
            let ready = status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let ip = status.pod_ip.as_deref().filter(|_| ready)?.parse().ok()?;
            Some(SocketAddr::new(ip, port))
        };
        self.pods_of(name).filter_map(address)
    }

    /// Pods of one Deployment of ours.
    pub(super) fn pods_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Pod> {
        let label = |pod: &Pod| pod.metadata.labels.as_ref()?.get("app.kubernetes.io/name").cloned();
        self.pods.values().filter(move |pod| label(pod).as_deref() == Some(name))
    }

    fn object(&mut self, scope: Scope, event: watcher::Result<watcher::Event<DynamicObject>>) -> bool {
        let kind = scope.kind;
        match event {
            Ok(watcher::Event::Init) => {
                self.objects.retain(|key, _| !scope.shows(key));
                self.watched.insert(scope, false);
                false
            }
            Ok(watcher::Event::InitDone) => {
                self.broken.remove(&scope);
                self.watched.insert(scope, true) != Some(true)
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
                self.broken.insert(scope, cause.clone()) != Some(cause)
            }
        }
    }

    fn keep(&mut self, kind: Kind, object: &DynamicObject) -> bool {
        let key = key_of(kind, object);
        let mut object = stripped(kind, serde_json::to_value(object).unwrap_or_default());
        // Lists of the API server's own types don't say it of each.
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        let changed = self.objects.get(&key).is_none_or(|known| without_version(known) != without_version(&object));
        self.objects.insert(key, object);
        changed
    }

    fn pod(&mut self, namespace: &str, event: watcher::Result<watcher::Event<Pod>>) -> bool {
        let key = |pod: &Pod| (namespace.to_owned(), pod.metadata.name.clone().unwrap_or_default());
        match event {
            Ok(watcher::Event::Init) => self.pods.retain(|(known, _), _| known != namespace),
            Ok(watcher::Event::InitDone) => return true,
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                self.pods.insert(key(&pod), pod);
                return true;
            }
            Ok(watcher::Event::Delete(pod)) => return self.pods.remove(&key(&pod)).is_some(),
            Err(error) => tracing::warn!(error = causes(&error), "watch of pods broken"),
        }
        false
    }
}

/// Whether an object is about to go.
pub(super) fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
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
