//! From a pod to what a person would restart: up the controllers, from pod to ReplicaSet to Deployment.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::ObjectReference};
use kube::{Api, Client};
use std::{collections::BTreeMap, fmt};

use super::{
    find::{Controller, Facts, PodKey, controller},
    workload::{Kind, WorkloadKey},
};
use crate::runtime::causes;

/// What made a pod, as far up as it is known; a pod that nothing made is its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) namespace: String,
    object: Controller,
}

/// Finds owners, and remembers those of ReplicaSets.
pub(super) struct Owners {
    client: Client,
    /// Of each ReplicaSet, by its uid, what made it.
    known: BTreeMap<String, Option<Controller>>,
}

// === impl Owner ===

impl Owner {
    /// What can be restarted by its template; none for Jobs, pods of their own, and the kinds of others.
    pub(super) fn workload(&self) -> Option<WorkloadKey> {
        let kind = Kind::of(&self.object.api_version, &self.object.kind)?;
        Some(WorkloadKey { namespace: self.namespace.clone(), kind, name: self.object.name.clone() })
    }

    /// For events.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.object.api_version.clone()),
            kind: Some(self.object.kind.clone()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.object.name.clone()),
            uid: Some(self.object.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// As kubectl takes it: `deployment/web`.
    pub(super) fn argument(&self) -> String {
        format!("{}/{}", self.object.kind.to_lowercase(), self.object.name)
    }

    /// What to do so that its pods are made anew.
    pub(super) fn remedy(&self) -> String {
        match self.workload() {
            Some(_) => format!("kubectl rollout restart {} -n {}", self.argument(), self.namespace),
            None => "have the pods made anew".to_owned(),
        }
    }
}

/// `Deployment shop/web`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.object.kind, self.namespace, self.object.name)
    }
}

// === impl Owners ===

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: BTreeMap::new() }
    }

    /// Who made a pod. A ReplicaSet that can't be read stands for itself, and is asked for again.
    pub(super) async fn of(&mut self, pod: &PodKey, facts: &Facts) -> Owner {
        let (namespace, name) = pod;
        let owner = |object: Controller| Owner { namespace: namespace.clone(), object };
        let Some(first) = facts.controller.clone() else {
            let (api_version, kind) = ("v1".to_owned(), "Pod".to_owned());
            return owner(Controller { api_version, kind, name: name.clone(), uid: facts.uid.clone() });
        };
        if first.kind != "ReplicaSet" || !first.api_version.starts_with("apps/") {
            return owner(first);
        }
        let second = match self.known.get(&first.uid) {
            Some(known) => known.clone(),
            None => self.ask(namespace, &first).await,
        };
        owner(second.unwrap_or(first))
    }

    async fn ask(&mut self, namespace: &str, set: &Controller) -> Option<Controller> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
        match sets.get_metadata_opt(&set.name).await {
            Ok(found) => {
                let above = found.filter(|it| it.metadata.uid.as_ref() == Some(&set.uid)).and_then(|it| controller(&it.metadata));
                self.known.insert(set.uid.clone(), above.clone());
                above
            }
            Err(error) => {
                tracing::warn!(error = causes(&error), set = set.name, ns = namespace, "owner of a ReplicaSet not known");
                None
            }
        }
    }

    /// Forgets ReplicaSets that made none of these pods.
    pub(super) fn keep<'f>(&mut self, pods: impl Iterator<Item = &'f Facts>) {
        let used: std::collections::BTreeSet<&str> = pods.filter_map(|facts| Some(facts.controller.as_ref()?.uid.as_str())).collect();
        self.known.retain(|uid, _| used.contains(uid.as_str()));
    }
}
