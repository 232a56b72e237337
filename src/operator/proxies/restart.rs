//! Restarts workloads, by the steps that [`super::roll`] decides.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        policy::v1::PodDisruptionBudget,
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use super::{
    roll::{Candidate, Cause, Rollout, Step, World, next},
    workload::{Kind, RESTARTED, ROLLED, WorkloadKey, daemon_set, deployment, stateful_set},
};
use crate::operator::{plan::MANAGER, refusal::advised, settings::Rolling};
use crate::runtime::{list_all, list_each};

/// Restarts workloads, for as long as one operator leads or one person looks on.
pub(super) struct Restarter {
    client: Client,
    /// Workloads that were restarted and have not been seen to be well since; none before they have been looked for.
    restarted: Option<BTreeSet<WorkloadKey>>,
    /// The last workload that was looked at where there were too many to look at all.
    cursor: Option<WorkloadKey>,
}

/// Why workloads can't be restarted at present.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {}", advised(source))]
pub struct RestartError {
    /// What can't be done, for example `Deployment shop/web can't be read`.
    pub doing: String,
    /// What the API server says.
    pub source: Box<kube::Error>,
}

/// So many workloads are looked at in a pass.
const LOOKS: usize = 50;

/// A workload as it was read: how it stands, and at which version.
struct Read {
    rollout: Rollout,
    version: Option<String>,
}

// === impl Restarter ===

impl Restarter {
    pub(super) fn new(client: Client) -> Self {
        Self { client, restarted: None, cursor: None }
    }

    /// One that does not look for what others have restarted, which takes the right to list workloads everywhere.
    pub(super) fn alone(client: Client) -> Self {
        Self { restarted: Some(BTreeSet::new()), ..Self::new(client) }
    }

    /// Looks at workloads that have a cause and at those under way, and restarts what may be; answers the steps, of which those that write
    /// have been taken. Nothing is written once `may_write` says no.
    ///
    /// # Errors
    /// When workloads can't be read or written. What was done before that stays done.
    pub(super) async fn pass(
        &mut self,
        causes: &BTreeMap<WorkloadKey, Cause>,
        limits: &Rolling,
        now: Timestamp,
        may_write: impl Fn() -> bool,
    ) -> Result<Vec<Step>, RestartError> {
        let mut restarted = match self.restarted.clone() {
            Some(restarted) => restarted,
            None => self.recover().await?,
        };
        let mut versions = BTreeMap::new();
        let mut world = World { workloads: BTreeMap::new() };
        let mut budgets = BTreeMap::new();
        for key in self.looked_at(causes, &restarted) {
            match self.read(&key, &mut budgets).await? {
                Some(Read { rollout, version }) => {
                    if rollout.rolled.is_some() {
                        restarted.insert(key.clone());
                    }
                    versions.insert(key.clone(), version);
                    world.workloads.insert(key.clone(), Candidate { cause: causes.get(&key).cloned(), rollout });
                }
                None => _ = restarted.remove(&key),
            }
        }
        self.restarted = Some(restarted);
        let steps = next(&world, limits);
        for step in &steps {
            if !may_write() {
                break;
            }
            let version = |key: &WorkloadKey| versions.get(key).cloned().flatten();
            match step {
                Step::Restart(key, value) => {
                    let restarted = json!({RESTARTED: now.to_string()});
                    let body = json!({
                        "metadata": {"resourceVersion": version(key), "annotations": {ROLLED: value}},
                        "spec": {"template": {"metadata": {"annotations": restarted}}},
                    });
                    if self.patch(key, &body).await? {
                        tracing::info!(workload = %key, because = value, "restarted");
                        self.restarted.get_or_insert_default().insert(key.clone());
                    }
                }
                Step::Settle(key) => {
                    let body = json!({"metadata": {"resourceVersion": version(key), "annotations": {ROLLED: Value::Null}}});
                    if self.patch(key, &body).await? {
                        tracing::info!(workload = %key, "its restart has helped");
                        self.restarted.get_or_insert_default().remove(key);
                    }
                }
                Step::Leave(..) | Step::Stuck(..) => {}
            }
        }
        Ok(steps)
    }

    /// Whether something is under way, of which no watch tells.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way().next().is_some()
    }

    /// What has been restarted and not been seen to be well since.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &WorkloadKey> {
        self.restarted.iter().flatten()
    }

    /// All that are under way, and of the others as many as are worth a look at once, each in its turn.
    fn looked_at(&mut self, causes: &BTreeMap<WorkloadKey, Cause>, restarted: &BTreeSet<WorkloadKey>) -> BTreeSet<WorkloadKey> {
        let others: Vec<&WorkloadKey> = causes.keys().filter(|key| !restarted.contains(*key)).collect();
        let start = self.cursor.as_ref().map_or(0, |last| others.partition_point(|key| *key <= last));
        let chosen: Vec<&WorkloadKey> = others.iter().cycle().skip(start).take(LOOKS.min(others.len())).copied().collect();
        self.cursor = chosen.last().filter(|_| others.len() > LOOKS).map(|key| (*key).clone());
        restarted.iter().chain(chosen).cloned().collect()
    }

    /// Finds what an operator before this one has restarted: it may be under way still, and counts.
    async fn recover(&self) -> Result<BTreeSet<WorkloadKey>, RestartError> {
        let mut found = BTreeSet::new();
        self.marked::<DaemonSet>(Kind::DaemonSet, &mut found).await?;
        self.marked::<Deployment>(Kind::Deployment, &mut found).await?;
        self.marked::<StatefulSet>(Kind::StatefulSet, &mut found).await?;
        Ok(found)
    }

    async fn marked<K>(&self, kind: Kind, found: &mut BTreeSet<WorkloadKey>) -> Result<(), RestartError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned,
    {
        let api: Api<PartialObjectMeta<K>> = Api::all(self.client.clone());
        let key = |object: PartialObjectMeta<K>| {
            let rolled = object.annotations().contains_key(ROLLED);
            rolled.then(|| WorkloadKey { namespace: object.namespace().unwrap_or_default(), kind, name: object.name_any() })
        };
        let marked = list_each(&api, &ListParams::default(), key).await;
        found.extend(marked.map_err(|source| failed(format!("{}s can't be listed", kind.name()), source))?);
        Ok(())
    }

    async fn read(
        &self,
        key: &WorkloadKey,
        budgets: &mut BTreeMap<String, Vec<PodDisruptionBudget>>,
    ) -> Result<Option<Read>, RestartError> {
        let namespace = &key.namespace;
        if !budgets.contains_key(namespace) {
            let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), namespace);
            let all = list_all(&api, &ListParams::default()).await;
            let all = all.map_err(|source| failed(format!("PodDisruptionBudgets of {namespace} can't be listed"), source))?;
            budgets.insert(namespace.clone(), all);
        }
        let budgets = budgets.get(namespace).map_or(&[][..], Vec::as_slice);
        match key.kind {
            Kind::Deployment => self.one::<Deployment>(key, |object| deployment(object, budgets)).await,
            Kind::StatefulSet => self.one::<StatefulSet>(key, |object| stateful_set(object, budgets)).await,
            Kind::DaemonSet => self.one::<DaemonSet>(key, |object| daemon_set(object, budgets)).await,
        }
    }

    async fn one<K>(&self, key: &WorkloadKey, rollout: impl FnOnce(&K) -> Rollout) -> Result<Option<Read>, RestartError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await.map_err(|source| failed(format!("{key} can't be read"), source))?;
        // What is being deleted needs no restart.
        let found = found.filter(|object| object.meta().deletion_timestamp.is_none());
        Ok(found.map(|object| Read { rollout: rollout(&object), version: object.resource_version() }))
    }

    /// Whether the patch was taken; somebody may have changed the workload since it was read, and then it is looked at again first.
    async fn patch(&self, key: &WorkloadKey, body: &Value) -> Result<bool, RestartError> {
        let resource = match key.kind {
            Kind::Deployment => kube::core::ApiResource::erase::<Deployment>(&()),
            Kind::StatefulSet => kube::core::ApiResource::erase::<StatefulSet>(&()),
            Kind::DaemonSet => kube::core::ApiResource::erase::<DaemonSet>(&()),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch(&key.name, &params, &Patch::Merge(body)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(source) => Err(failed(format!("{key} can't be restarted"), source)),
        }
    }
}

fn failed(doing: String, source: kube::Error) -> RestartError {
    RestartError { doing, source: Box::new(source) }
}
