//! The same for a person who looks once, or looks on while workloads are restarted, with his own rights.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::ListParams, core::PartialObjectMeta};
use std::collections::{BTreeMap, BTreeSet};

use super::{
    AllWanted, Wanted,
    cause::causes,
    find::{Facts, Found, PodKey, Sidecar, current_image, find},
    owners::{Owner, Owners},
    restart::{RestartError, Restarter},
    roll::{Cause, Step},
    workload::WorkloadKey,
};
use crate::injector::{Entry, Labels};
use crate::model::InjectionValues;
use crate::operator::settings::Rolling;
use crate::runtime::{list_all, list_each};

/// An injector, as it is in the cluster.
#[derive(Clone, Debug)]
pub struct LiveInjector {
    /// What its webhook configuration asks it about.
    pub entries: Vec<Entry>,
    /// What it is told.
    pub values: InjectionValues,
    /// Whether it answers.
    pub ready: bool,
}

/// A pod whose sidecar is missing or old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// The image of its sidecar; none if it has no sidecar, and should have one.
    pub image: Option<String>,
    /// The image that a new sidecar would have.
    pub current: String,
    /// What made it, as kubectl takes it: `deployment/web`.
    pub owner: String,
    /// The workload whose restart would make it anew, as `Deployment shop/web`; none if none would.
    pub workload: Option<String>,
}

/// What one look has shown.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Pods that are not as they should be, in order.
    pub outliers: Vec<Outlier>,
    causes: BTreeMap<WorkloadKey, Cause>,
}

/// What a pass over workloads has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Workloads that were restarted just now.
    pub restarted: Vec<String>,
    /// Workloads whose restart has helped.
    pub helped: Vec<String>,
    /// Workloads that are left as they are, and why.
    pub left: Vec<(String, String)>,
    /// A restart that gets no further, and why.
    pub stuck: Option<(String, String)>,
    /// Workloads that are under way, or have to wait for others or for a disruption budget.
    pub awaited: Vec<String>,
}

/// Looks at pods, and restarts workloads within limits.
pub struct Rollouts {
    client: Client,
    /// The one namespace to look at; all if there is none.
    namespace: Option<String>,
    limits: Rolling,
    owners: Owners,
    restarter: Restarter,
    /// The pods as the last look has shown them, with what they were asked for beside their metadata.
    pods: BTreeMap<PodKey, Facts>,
}

/// So many pods are asked for at once.
const ASKED: usize = 16;

// === impl Rollouts ===

impl Rollouts {
    /// For one namespace or all, within limits.
    pub fn new(client: Client, namespace: Option<String>, limits: Rolling) -> Self {
        let (owners, restarter) = (Owners::new(client.clone()), Restarter::alone(client.clone()));
        Self { client, namespace, limits, owners, restarter, pods: BTreeMap::new() }
    }

    /// Looks at all pods, as far as the limits ask for them.
    ///
    /// # Errors
    /// When pods or namespaces can't be read.
    pub async fn look(&mut self, injectors: Vec<LiveInjector>) -> Result<Look, kube::Error> {
        let namespaces = self.namespaces().await?;
        self.list_pods().await?;
        let mut look = Look::default();
        let wanted = of_revisions(injectors);
        let mut all = self.find(&namespaces, &wanted).await?;
        for (revision, wanted) in &wanted {
            let mut found = all.remove(revision).unwrap_or_default();
            found.missed.retain(|_| self.limits.missed);
            found.outdated.retain(|_| self.limits.outdated);
            let image = current_image(&wanted.values);
            let mut owners = BTreeMap::new();
            for key in found.missed.iter().chain(&found.outdated) {
                let owner = self.owners.of(key, &self.pods[key]).await;
                look.outliers.push(outlier(key, &self.pods[key], &owner, &image));
                owners.insert(key.clone(), owner);
            }
            look.causes.extend(causes(&found, &self.pods, &owners, wanted, &self.limits, wanted.injector_ready));
        }
        look.outliers.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
        Ok(look)
    }

    /// Restarts what may be restarted now, and tells how all stand that a look has shown or that were restarted before.
    ///
    /// # Errors
    /// When workloads can't be read or written. What was done before that stays done.
    pub async fn restart(&mut self, look: &Look, now: Timestamp) -> Result<Pass, RestartError> {
        let steps = self.restarter.pass(&look.causes, &self.limits, now, || true).await?;
        let under_way: BTreeSet<&WorkloadKey> = self.restarter.under_way().collect();
        let mut awaited: BTreeSet<&WorkloadKey> = under_way.iter().copied().chain(look.causes.keys()).collect();
        let mut pass = Pass::default();
        for step in &steps {
            match step {
                // What somebody has changed since it was read was not written, and is looked at again.
                Step::Restart(key, _) if under_way.contains(key) => pass.restarted.push(key.to_string()),
                Step::Settle(key) if !under_way.contains(key) => pass.helped.push(key.to_string()),
                Step::Restart(..) | Step::Settle(_) => {}
                Step::Leave(key, left) => {
                    awaited.remove(key);
                    pass.left.push((key.to_string(), left.to_string()));
                }
                Step::Stuck(key, why) => pass.stuck = Some((key.to_string(), why.clone())),
            }
        }
        pass.awaited = awaited.into_iter().map(ToString::to_string).collect();
        Ok(pass)
    }

    async fn namespaces(&self) -> Result<BTreeMap<String, Labels>, kube::Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = match &self.namespace {
            Some(name) => vec![api.get(name).await?],
            None => list_all(&api, &ListParams::default()).await?,
        };
        Ok(found.into_iter().map(|it| (it.name_any(), it.metadata.labels.unwrap_or_default())).collect())
    }

    /// Lists the metadata of pods that are not over.
    async fn list_pods(&mut self) -> Result<(), kube::Error> {
        let api: Api<PartialObjectMeta<Pod>> = match &self.namespace {
            Some(name) => Api::namespaced(self.client.clone(), name),
            None => Api::all(self.client.clone()),
        };
        let running = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        let facts = |pod: PartialObjectMeta<Pod>| {
            let key = (pod.namespace().unwrap_or_default(), pod.name_any());
            let facts = Facts::of(&pod.metadata).with_knowledge_of(self.pods.get(&key));
            Some((key, facts))
        };
        let listed = list_each(&api, &running, facts).await?;
        self.pods = listed.into_iter().collect();
        Ok(())
    }

    /// Judges the pods, and asks for those of which metadata do not tell enough.
    async fn find(&mut self, namespaces: &BTreeMap<String, Labels>, wanted: &AllWanted) -> Result<BTreeMap<String, Found>, kube::Error> {
        loop {
            let found = find(&self.pods, namespaces, wanted);
            // That another revision's sidecar is to go is clear without its image, which is told all the same.
            let untold = |key: &&PodKey| matches!(self.pods[*key].sidecar, Sidecar::Injected { image: None, .. });
            let outdated = found.values().flat_map(|found| found.outdated.iter().filter(untold));
            let asked: Vec<PodKey> = found.values().flat_map(|found| &found.unknown).chain(outdated).cloned().collect();
            if asked.is_empty() {
                return Ok(found);
            }
            let ask = |key: PodKey| async {
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
                pods.get_opt(&key.1).await.map(|pod| (key, pod))
            };
            let answers: Vec<_> = stream::iter(asked).map(ask).buffer_unordered(ASKED).try_collect().await?;
            for (key, pod) in answers {
                let same = |facts: &Facts| pod.as_ref().filter(|pod| pod.spec.is_some() && pod.metadata.uid.as_ref() == Some(&facts.uid));
                match self.pods.get_mut(&key).and_then(|facts| Some((same(facts)?, facts))) {
                    Some((pod, facts)) => facts.complete(pod),
                    // It is gone; what has its name now is for the next look.
                    None => _ = self.pods.remove(&key),
                }
            }
        }
    }
}

/// How pods of each revision should be. A revision is asked about by its own webhook configuration and by those of its tags.
fn of_revisions(injectors: Vec<LiveInjector>) -> AllWanted {
    let mut all = AllWanted::new();
    for LiveInjector { entries, values, ready } in injectors {
        let wanted = || Wanted { entries: Vec::new(), values: values.clone(), injector_ready: ready, ..Wanted::default() };
        all.entry(values.revision.clone()).or_insert_with(wanted).entries.extend(entries);
    }
    all
}

fn outlier((namespace, pod): &PodKey, facts: &Facts, owner: &Owner, current: &str) -> Outlier {
    let image = match &facts.sidecar {
        Sidecar::Injected { image, .. } => image.clone(),
        Sidecar::None { .. } => None,
    };
    Outlier {
        namespace: namespace.clone(),
        pod: pod.clone(),
        image,
        current: current.to_owned(),
        owner: owner.argument(),
        workload: owner.workload().map(|workload| workload.to_string()),
    }
}
