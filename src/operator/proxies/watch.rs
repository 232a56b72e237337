//! All pods and namespaces, as two watches of their metadata tell.

use futures::{Stream, StreamExt, stream::SelectAll};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::{collections::BTreeMap, pin::Pin};

use super::find::{Facts, PodKey};
use crate::injector::Labels;
use crate::runtime::causes;

/// One message of a watch.
pub(super) enum Seen {
    Pod(watcher::Result<Event<PartialObjectMeta<Pod>>>),
    Namespace(watcher::Result<Event<PartialObjectMeta<Namespace>>>),
}

/// Messages of both watches, as they come.
pub(super) type Changes = SelectAll<Pin<Box<dyn Stream<Item = Seen> + Send>>>;

/// What the watches have shown so far.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) pods: BTreeMap<PodKey, Facts>,
    pub(super) namespaces: BTreeMap<String, Labels>,
    pods_listed: bool,
    namespaces_listed: bool,
    /// What a list that is not complete yet has shown: what was known before holds until then, and no longer.
    listed: BTreeMap<PodKey, Facts>,
    listed_namespaces: BTreeMap<String, Labels>,
}

/// Watches pods that are not over, and namespaces.
pub(super) fn changes(client: &Client) -> Changes {
    let mut changes = Changes::new();
    let running = watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let pods: Api<PartialObjectMeta<Pod>> = Api::all(client.clone());
    changes.push(watcher(pods, running).default_backoff().map(Seen::Pod).boxed());
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    changes.push(watcher(namespaces, watcher::Config::default()).default_backoff().map(Seen::Namespace).boxed());
    changes
}

// === impl Cluster ===

impl Cluster {
    /// Whether everything is known.
    pub(super) fn is_known(&self) -> bool {
        self.pods_listed && self.namespaces_listed
    }

    /// Takes in a message.
    pub(super) fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Pod(Ok(event)) => self.pod(event),
            Seen::Namespace(Ok(event)) => self.namespace(event),
            Seen::Pod(Err(error)) => tracing::warn!(error = causes(&error), "watch of all pods broken"),
            Seen::Namespace(Err(error)) => tracing::warn!(error = causes(&error), "watch of all namespaces broken"),
        }
    }

    fn pod(&mut self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                let facts = self.facts(&pod);
                self.listed.insert(key(&pod), facts);
            }
            Event::InitDone => {
                self.pods = std::mem::take(&mut self.listed);
                self.pods_listed = true;
            }
            Event::Apply(pod) => {
                let facts = self.facts(&pod);
                self.pods.insert(key(&pod), facts);
            }
            Event::Delete(pod) => _ = self.pods.remove(&key(&pod)),
        }
    }

    fn facts(&self, pod: &PartialObjectMeta<Pod>) -> Facts {
        Facts::of(&pod.metadata).with_knowledge_of(self.pods.get(&key(pod)))
    }

    fn namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.listed_namespaces.clear(),
            Event::InitApply(namespace) => {
                self.listed_namespaces.insert(namespace.name_any(), namespace.metadata.labels.unwrap_or_default());
            }
            Event::InitDone => {
                self.namespaces = std::mem::take(&mut self.listed_namespaces);
                self.namespaces_listed = true;
            }
            Event::Apply(namespace) => {
                self.namespaces.insert(namespace.name_any(), namespace.metadata.labels.unwrap_or_default());
            }
            Event::Delete(namespace) => _ = self.namespaces.remove(&namespace.name_any()),
        }
    }
}

fn key(pod: &PartialObjectMeta<Pod>) -> PodKey {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    fn namespace(name: &str) -> PartialObjectMeta<Namespace> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
    }

    #[test]
    fn a_namespace_that_a_new_list_lacks_is_gone_and_no_sooner() {
        let mut cluster = Cluster::default();
        let mut note = |event| {
            cluster.note(Seen::Namespace(Ok(event)));
            cluster.namespaces.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        note(Event::Init);
        note(Event::InitApply(namespace("books")));
        note(Event::InitApply(namespace("shop")));
        assert_eq!(note(Event::InitDone), "books shop");
        // The watch broke, and shop went meanwhile; a list that breaks, too, says nothing.
        note(Event::Init);
        note(Event::InitApply(namespace("late")));
        note(Event::Init);
        assert_eq!(note(Event::InitApply(namespace("books"))), "books shop", "without its namespace a pod is nobody's");
        assert_eq!(note(Event::InitDone), "books");
        assert_eq!(note(Event::Apply(namespace("new"))), "books new");
    }
}
