//! One term of looking after the proxies: a watch tells of a change, a look compares all pods with how they should be.

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    AllWanted, Proxies, Tallies, Wanted,
    cause::causes as causes_of,
    find::{Found, PodKey, find},
    owners::{Owner, Owners},
    report::{NAMED, Tally},
    restart::Restarter,
    roll::{Cause, Step},
    synced::{Asker, INTERVAL},
    watch::{Cluster, changes},
    workload::WorkloadKey,
};
use crate::operator::{metrics::Metrics, plan::MANAGER, reconcile::this_second, settings::Rolling};
use crate::runtime::{EventPublisher, News, Term, causes};

/// What a term of looking holds.
pub(super) struct Work<'a> {
    client: Client,
    term: &'a Term,
    metrics: &'a Metrics,
    found: &'a watch::Sender<Arc<Tallies>>,
    cluster: Cluster,
    owners: Owners,
    restarter: Restarter,
    events: EventPublisher,
    asker: Asker,
    /// When pilots are asked next.
    ask: Instant,
    /// When to look next; none if nothing has happened.
    due: Option<Instant>,
    /// When what was found was last told.
    told: Option<Instant>,
    /// Since when each revision's injector has been known to answer.
    answering: BTreeMap<String, Instant>,
    /// The last failure: one that lasts is told once.
    failure: Option<String>,
}

/// Between a change and the look at it: pods come in crowds.
const SETTLE: Duration = Duration::from_millis(300);
/// Between two looks while workloads are restarted, of which no watch tells.
const BUSY: Duration = Duration::from_secs(2);
/// Between two tellings of which only the number of good pods differs.
const LEISURE: Duration = Duration::from_secs(30);
/// So long the injector must have answered before pods are made anew for its sake: the API server's way to it is open a little later.
const REACHED: Duration = Duration::from_secs(5);
/// So many pods are asked for in a look, one after the other.
const ASKED: usize = 64;

// === impl Work ===

impl<'a> Work<'a> {
    pub(super) fn new(proxies: &'a Proxies, term: &'a Term) -> Self {
        Self {
            client: proxies.client.clone(),
            term,
            metrics: &proxies.metrics,
            found: &proxies.found,
            cluster: Cluster::default(),
            owners: Owners::new(proxies.client.clone()),
            restarter: Restarter::new(proxies.client.clone()),
            events: EventPublisher::new(proxies.client.clone(), MANAGER, &proxies.pod, "Inject"),
            asker: Asker::new(),
            ask: Instant::now(),
            due: None,
            told: None,
            answering: BTreeMap::new(),
            failure: None,
        }
    }

    /// Looks whenever something changes, as long as there is a mesh.
    pub(super) async fn run(mut self, wanted: &mut watch::Receiver<Arc<AllWanted>>) {
        let mut changes = changes(&self.client);
        wanted.mark_changed();
        loop {
            let due = self.due;
            tokio::select! {
                Some(seen) = changes.next() => {
                    self.cluster.note(seen);
                    while let Some(seen) = changes.next().now_or_never().flatten() {
                        self.cluster.note(seen);
                    }
                    self.look_within(SETTLE);
                }
                changed = wanted.changed() => match changed {
                    Ok(()) => self.look_within(Duration::ZERO),
                    Err(_) => return,
                },
                () = sleep_until(self.ask) => {
                    let wanted = wanted.borrow().clone();
                    if self.asker.ask(&wanted).await {
                        self.look_within(Duration::ZERO);
                    }
                    self.ask = Instant::now() + INTERVAL;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.due = None;
                    let wanted = wanted.borrow_and_update().clone();
                    if wanted.is_empty() {
                        break;
                    }
                    self.look(&wanted).await;
                }
            }
        }
        self.metrics.missed.set(0);
        self.metrics.outdated.set(0);
    }

    fn look_within(&mut self, wait: Duration) {
        let at = Instant::now() + wait;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    async fn look(&mut self, wanted: &AllWanted) {
        if !self.cluster.is_known() {
            return;
        }
        let found = self.find(wanted).await;
        let owners = self.owners(&found).await;
        self.announce(&owners).await;
        let count = |(name, wanted): (&String, &Wanted)| {
            let synced = self.asker.known.get(name).copied();
            Some((name.clone(), Tally { synced, ..tally(found.get(name)?, &owners, wanted) }))
        };
        let mut tallies: BTreeMap<String, Tally> = wanted.iter().filter_map(count).collect();
        let busy = self.restart(&found, &owners, wanted, &mut tallies).await;
        if busy {
            self.look_within(BUSY);
        }
        let sum = |of: fn(&Tally) -> usize| i64::try_from(tallies.values().map(of).sum::<usize>()).unwrap_or(i64::MAX);
        self.metrics.missed.set(sum(|tally| tally.missed));
        self.metrics.outdated.set(sum(|tally| tally.outdated));
        self.tell(tallies.into_iter().map(|(name, tally)| (name, Arc::new(tally))).collect());
    }

    /// Looks at all pods, and asks for those of which metadata do not tell enough.
    async fn find(&mut self, wanted: &AllWanted) -> BTreeMap<String, Found> {
        let mut found = find(&self.cluster.pods, &self.cluster.namespaces, wanted);
        if found.values().all(|found| found.unknown.is_empty()) {
            return found;
        }
        let asked: Vec<PodKey> = found.values().flat_map(|found| &found.unknown).take(ASKED).cloned().collect();
        for key in &asked {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
            match pods.get_opt(&key.1).await {
                Ok(Some(pod)) => {
                    if let Some(facts) = self.cluster.pods.get_mut(key).filter(|facts| Some(&facts.uid) == pod.metadata.uid.as_ref()) {
                        facts.complete(&pod);
                    }
                }
                // The watch will tell.
                Ok(None) => {}
                Err(error) => {
                    self.failed(format!("pod {}/{} can't be read: {}", key.0, key.1, causes(&error)));
                    break;
                }
            }
        }
        found = find(&self.cluster.pods, &self.cluster.namespaces, wanted);
        if found.values().any(|found| !found.unknown.is_empty()) {
            self.look_within(BUSY);
        }
        found
    }

    /// Who made the pods that are not as they should be.
    async fn owners(&mut self, found: &BTreeMap<String, Found>) -> BTreeMap<PodKey, Owner> {
        self.owners.keep(self.cluster.pods.values());
        let mut owners = BTreeMap::new();
        let made: Vec<&PodKey> = found.values().flat_map(|found| found.missed.iter().chain(&found.outdated)).collect();
        for key in made {
            if let Some(facts) = self.cluster.pods.get(key) {
                owners.insert(key.clone(), self.owners.of(key, facts).await);
            }
        }
        owners
    }

    /// Tells the owners of missed pods, each once in a while.
    async fn announce(&mut self, owners: &BTreeMap<PodKey, Owner>) {
        let missed = |key: &&PodKey| self.cluster.pods.get(*key).is_some_and(|facts| facts.is_plain());
        let told: BTreeSet<&Owner> = owners.keys().filter(missed).map(|key| &owners[key]).collect();
        for owner in told {
            let remedy = owner.remedy();
            let note = format!("pods of {owner} run without the sidecar that their labels ask for: {remedy} (FM3001)");
            let news = News { warning: true, reason: "InjectionMissed".to_owned(), note };
            self.events.publish(&owner.reference(), [news]).await;
        }
    }

    /// Restarts what may be, if it is asked for; whether to look again soon.
    async fn restart(
        &mut self,
        found: &BTreeMap<String, Found>,
        owners: &BTreeMap<PodKey, Owner>,
        wanted: &AllWanted,
        tallies: &mut BTreeMap<String, Tally>,
    ) -> bool {
        // One set of limits for all that are restarted: nodes and people have to bear the sum.
        let Some(limits) = wanted.values().filter_map(|wanted| wanted.rolling).reduce(Rolling::narrower) else { return false };
        self.answering.retain(|name, _| wanted.get(name).is_some_and(|wanted| wanted.injector_ready));
        let mut reasons: BTreeMap<WorkloadKey, Cause> = BTreeMap::new();
        let mut revisions: BTreeMap<WorkloadKey, String> = BTreeMap::new();
        for (name, wanted) in wanted {
            let (Some(found), Some(limits)) = (found.get(name), wanted.rolling) else { continue };
            let since = wanted.injector_ready.then(|| *self.answering.entry(name.clone()).or_insert_with(Instant::now));
            let answered = since.is_some_and(|since| since.elapsed() >= REACHED);
            for (workload, cause) in causes_of(found, &self.cluster.pods, owners, wanted, &limits, answered) {
                revisions.entry(workload.clone()).or_insert_with(|| name.clone());
                reasons.entry(workload).or_insert(cause);
            }
        }
        match self.restarter.pass(&reasons, &limits, this_second(), || self.term.check().is_ok()).await {
            Ok(steps) => {
                self.failure = None;
                self.tell_steps(&steps, owners, &revisions, tallies).await;
            }
            Err(error) => self.failed(error.to_string()),
        }
        !reasons.is_empty() || self.restarter.is_busy()
    }

    /// What the steps that only tell something come to.
    async fn tell_steps(
        &mut self,
        steps: &[Step],
        owners: &BTreeMap<PodKey, Owner>,
        revisions: &BTreeMap<WorkloadKey, String>,
        tallies: &mut BTreeMap<String, Tally>,
    ) {
        for step in steps {
            match step {
                Step::Stuck(key, reason) => {
                    // It holds up whatever else is to be restarted, for whichever revision.
                    let rolling = tallies.values_mut().filter(|tally| tally.rolling);
                    rolling.for_each(|tally| tally.stuck = Some(format!("the restart of {key} gets no further: {reason}")));
                }
                Step::Leave(key, left) => {
                    let note = format!("{key} is not restarted: {left}");
                    let tally = revisions.get(key).and_then(|name| tallies.get_mut(name));
                    if let Some(tally) = tally.filter(|tally| tally.left.len() < NAMED) {
                        tally.left.push(note.clone());
                    }
                    let owner = owners.values().find(|owner| owner.workload().as_ref() == Some(key));
                    if let Some(owner) = owner {
                        let news = News { warning: true, reason: "NotRestarted".to_owned(), note };
                        self.events.publish(&owner.reference(), [news]).await;
                    }
                }
                Step::Restart(..) | Step::Settle(..) => {}
            }
        }
    }

    /// Tells the reconciler, who writes the status: of what matters at once, of mere numbers of good pods now and then.
    fn tell(&mut self, tallies: Tallies) {
        let current = self.found.borrow().clone();
        if *current == tallies {
            return;
        }
        let same = |(name, tally): (&String, &Arc<Tally>)| current.get(name).is_some_and(|before| before.tells_the_same_as(tally));
        let leisurely = current.len() == tallies.len() && tallies.iter().all(same);
        match self.told.map(|told| told + LEISURE).filter(|at| leisurely && *at > Instant::now()) {
            Some(at) => self.look_within(at - Instant::now()),
            None => {
                self.found.send_replace(Arc::new(tallies));
                self.told = Some(Instant::now());
            }
        }
    }

    /// Tells of a failure once, and looks again.
    fn failed(&mut self, failure: String) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(failure, "proxies can't be looked after; it is tried again");
            self.failure = Some(failure);
        }
        self.look_within(BUSY);
    }
}

fn tally(found: &Found, owners: &BTreeMap<PodKey, Owner>, wanted: &Wanted) -> Tally {
    let mut workloads: Vec<String> = Vec::new();
    for key in found.missed.iter().chain(&found.outdated) {
        let Some(name) = owners.get(key).map(ToString::to_string) else { continue };
        if workloads.len() < NAMED && !workloads.contains(&name) {
            workloads.push(name);
        }
    }
    Tally {
        chosen: found.chosen,
        total: found.total,
        gateways: wanted.gateways,
        leaving: found.leaving,
        namespaces: found.namespaces.iter().take(NAMED).cloned().collect(),
        missed: found.missed.len(),
        outdated: found.outdated.len(),
        workloads,
        rolling: wanted.rolling.is_some(),
        ..Tally::default()
    }
}
