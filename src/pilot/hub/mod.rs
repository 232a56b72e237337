//! The one place where configurations are compiled, and the way from there to the sessions.
//!
//! One task owns the compiler. It takes the mesh's next snapshot, brings the configuration of every connected proxy up to date, and wakes
//! the sessions for which something differs; to compile for a proxy whose scope another shares is a few lookups. So a thousand proxies
//! cost one pass, nobody waits for a lock, and a change that concerns one proxy wakes one session. All that changes during a pass is taken
//! by the next one: changes coalesce exactly as long as there is work in hand. Between two handfuls of proxies the task steps aside, so
//! that the first ones are served while the last ones are still compiled for.
//!
//! A session sees its configuration through a watch, which keeps the latest only: a slow proxy holds one.
//!
//! What proxies refuse, and what the compiler fails on, is traced to the object at fault (`blame`), which is then withheld from all. Of
//! what the compiler had to leave out (`faults`) only the author hears.

mod blame;
mod bootstrap;
mod faults;

use std::{collections::BTreeMap, mem, sync::Arc};

use futures::{Stream, StreamExt};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

pub(super) use self::bootstrap::BootstrapError;

use self::{blame::Blame, bootstrap::Starting};
use super::{
    metrics::Metrics,
    node::{Claims, NodeError},
    problems::Problems,
    reports::{News, Reports},
};
use crate::compile::{Compiled, Compiler, Proxy, ResourceType};
use crate::index::NeededSecrets;
use crate::model::{Change, Changes, Snapshot, WorkloadKey};
use crate::runtime::{ReadyGuard, Shutdown};

/// As many proxies may wait to be taken in; more wait in their own connections.
const WAITING: usize = 256;

/// After compiling for so many proxies the task steps aside.
const HANDFUL: usize = 32;

/// A proxy's configuration.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// Its resources.
    pub(super) compiled: Compiled,
    /// The snapshot that they were compiled from.
    pub(super) version: u64,
    /// When the hub took that snapshot.
    pub(super) taken: Instant,
    /// What the hub wants to know, if this is an attempt.
    pub(super) question: Option<Question>,
}

/// Whether a proxy takes a resource.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Counts up.
    pub(super) number: u64,
    pub(super) kind: ResourceType,
    pub(super) name: Arc<str>,
}

/// The current configuration of a proxy; none until the mesh is known. Ends when the proxy is no longer who it said it is.
pub(super) type Updates = watch::Receiver<Option<Update>>;

/// A proxy's place at the hub, for as long as it has the updates.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Its number.
    pub(super) subscriber: u64,
    pub(super) updates: Updates,
}

/// The sessions' end of the hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    joining: mpsc::Sender<Join>,
    starting: mpsc::Sender<Starting>,
    /// Where sessions report.
    pub(super) reports: Reports,
}

/// Why a proxy gets no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    /// It is not who it says it is.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The process ends.
    #[error("pilot is ending")]
    Ended,
}

/// Why the hub ended although nobody had asked for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    #[error("there will be no more news of the mesh")]
    SourceEnded,
}

#[derive(Debug)]
struct Join {
    claims: Arc<Claims>,
    answer: oneshot::Sender<Result<Joined, NodeError>>,
}

struct Subscriber {
    claims: Arc<Claims>,
    proxy: Arc<Proxy>,
    /// Whether the proxy is not what it was when it was last compiled for.
    changed: bool,
    publish: watch::Sender<Option<Update>>,
}

/// The task.
pub(super) struct HubTask {
    joining: mpsc::Receiver<Join>,
    starting: mpsc::Receiver<Starting>,
    compiler: Option<Compiler>,
    version: u64,
    taken: Instant,
    subscribers: BTreeMap<u64, Subscriber>,
    by_workload: BTreeMap<WorkloadKey, Vec<u64>>,
    next_id: u64,
    /// When so many are subscribed, those that are gone are looked for.
    sweep_at: usize,
    metrics: Metrics,
    /// Who is told which Secrets proxies need.
    needed: NeededSecrets,
    synced: Option<ReadyGuard>,
    reports: Reports,
    blame: Blame,
    /// Who is told what is wrong with objects.
    problems: Problems,
}

// === impl Hub ===

impl Hub {
    /// A hub and the task that makes it work. `synced` is released when the mesh is known; `needed` hears which Secrets proxies need,
    /// `problems` of objects at fault.
    pub(super) fn new(metrics: Metrics, needed: NeededSecrets, problems: Problems, synced: ReadyGuard) -> (Self, HubTask) {
        let (sender, joining) = mpsc::channel(WAITING);
        let (starters, starting) = mpsc::channel(WAITING);
        let reports = Reports::default();
        let task = HubTask {
            joining,
            starting,
            compiler: None,
            version: 0,
            taken: Instant::now(),
            subscribers: BTreeMap::new(),
            by_workload: BTreeMap::new(),
            next_id: 0,
            sweep_at: 64,
            blame: Blame::new(problems.clone(), metrics.clone()),
            problems,
            reports: reports.clone(),
            metrics,
            needed,
            synced: Some(synced),
        };
        (Self { joining: sender, starting: starters, reports }, task)
    }

    /// Subscribes to a proxy's configuration, until the result is dropped.
    ///
    /// # Errors
    /// When the proxy's pod belongs to another identity, or the process ends.
    pub(super) async fn join(&self, claims: Arc<Claims>) -> Result<Joined, JoinError> {
        let (answer, answered) = oneshot::channel();
        self.joining.send(Join { claims, answer }).await.map_err(|_| JoinError::Ended)?;
        Ok(answered.await.map_err(|_| JoinError::Ended)??)
    }
}

#[cfg(test)]
impl Hub {
    /// A hub for tests that gives the same to every proxy.
    pub(super) fn scripted(updates: Updates) -> Self {
        let (sender, mut joining) = mpsc::channel::<Join>(WAITING);
        tokio::spawn(async move {
            while let Some(join) = joining.recv().await {
                // Whoever does not wait for the answer needs none.
                let _ = join.answer.send(Ok(Joined { subscriber: 0, updates: updates.clone() }));
            }
        });
        // Such a hub knows of no changes that users make.
        let (starting, _) = mpsc::channel(1);
        Self { joining: sender, starting, reports: Reports::default() }
    }
}

// === impl HubTask ===

impl HubTask {
    /// Runs until shutdown. `source` gives the latest snapshot with all that changed since the one that it gave before; it is asked when
    /// the hub is idle, so that it can merge what comes meanwhile.
    ///
    /// # Errors
    /// When `source` ends.
    pub(super) async fn run<S>(mut self, source: S, shutdown: Shutdown) -> Result<(), HubError>
    where
        S: Stream<Item = (Arc<Snapshot>, Changes)>,
    {
        let mut source = std::pin::pin!(source);
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Some(join) = self.joining.recv() => {
                    self.admit(join).await;
                    self.tell_needed();
                }
                Some(starting) = self.starting.recv() => self.change_bootstrap(starting),
                news = source.next() => {
                    let (snapshot, changes) = news.ok_or(HubError::SourceEnded)?;
                    self.advance(snapshot, changes);
                    self.distribute().await;
                    self.next_case().await;
                    self.tell_needed();
                    self.tidy().await;
                }
                news = self.reports.heard() => self.hear(news).await,
                () = self.blame.out_of_patience() => self.ask_another().await,
            }
            self.tell_faults();
        }
    }

    /// Has the Secrets looked for that compiling asked for.
    fn tell_needed(&self) {
        if let Some(compiler) = &self.compiler {
            self.needed.are(compiler.secrets());
        }
    }

    /// Takes in all proxies that wait, so that a storm of changes does not keep them out.
    async fn admit(&mut self, first: Join) {
        self.join(first);
        let mut admitted = 1;
        while let Ok(join) = self.joining.try_recv() {
            self.join(join);
            admitted += 1;
            if admitted % HANDFUL == 0 {
                tokio::task::yield_now().await;
            }
            if admitted == WAITING {
                break;
            }
        }
    }

    fn join(&mut self, join: Join) {
        let workload = self.compiler.as_ref().and_then(|compiler| compiler.snapshot().workloads.get(&join.claims.key));
        let proxy = match join.claims.proxy(workload.map(|workload| &**workload)) {
            Ok(proxy) => Arc::new(proxy),
            Err(error) => {
                // Whoever does not wait for the answer needs none.
                let _ = join.answer.send(Err(error));
                return;
            }
        };
        let (version, taken) = (self.version, self.taken);
        let update = self.compile(&proxy, None).map(|compiled| Update { compiled, version, taken, question: None });
        let (publish, updates) = watch::channel(update);
        if join.answer.send(Ok(Joined { subscriber: self.next_id, updates })).is_err() {
            return;
        }
        self.sweep();
        self.by_workload.entry(proxy.key.clone()).or_default().push(self.next_id);
        self.subscribers.insert(self.next_id, Subscriber { claims: join.claims, proxy, changed: false, publish });
        self.next_id += 1;
    }

    /// Takes the next snapshot.
    fn advance(&mut self, snapshot: Arc<Snapshot>, changes: Changes) {
        self.taken = Instant::now();
        self.version = snapshot.version;
        self.metrics.mesh_changed(&snapshot, &changes);
        let (snapshot, changes) = self.blame.advance(snapshot, changes);
        let workloads = changes.iter().filter_map(|change| match change {
            Change::Workload(key) => Some(key),
            _ => None,
        });
        for key in workloads {
            self.workload_changed(key, &snapshot);
        }
        match &mut self.compiler {
            Some(compiler) => compiler.advance(snapshot, &changes),
            None => {
                tracing::info!(version = snapshot.version, "the mesh is known");
                self.compiler = Some(Compiler::new(snapshot));
                self.synced = None;
            }
        }
    }

    /// Looks again at the proxies of a pod. One that turns out to be somebody else's loses its configuration, which ends its stream; it is
    /// told why when it comes back. A pod that is gone changes nothing for a proxy that still drains.
    fn workload_changed(&mut self, key: &WorkloadKey, snapshot: &Snapshot) {
        let Some(workload) = snapshot.workloads.get(key) else { return };
        for id in self.by_workload.get(key).into_iter().flatten() {
            let Some(subscriber) = self.subscribers.get_mut(id) else { continue };
            match subscriber.claims.proxy(Some(workload)) {
                Ok(proxy) => (subscriber.proxy, subscriber.changed) = (Arc::new(proxy), true),
                Err(error) => {
                    tracing::warn!(%error, "a proxy is cut off");
                    self.subscribers.remove(id);
                }
            }
        }
    }

    /// Brings every proxy's configuration up to date.
    async fn distribute(&mut self) {
        self.sweep_at = self.sweep_at.min(self.subscribers.len());
        self.sweep();
        // An object that is found to be at fault on the way makes what was compiled before it out of date.
        loop {
            let withheld = self.blame.withheld;
            let mut ids: Vec<u64> = self.subscribers.keys().copied().collect();
            // Nobody is always the first one, and nobody always the last.
            let first = usize::try_from(self.version).unwrap_or_default().checked_rem(ids.len()).unwrap_or_default();
            ids.rotate_left(first);
            for (at, id) in ids.into_iter().enumerate() {
                if at % HANDFUL == HANDFUL - 1 {
                    tokio::task::yield_now().await;
                }
                self.publish_to(id);
            }
            if withheld == self.blame.withheld {
                return;
            }
        }
    }

    /// Has the compiler forget what is of no use, once the sessions have had their turn.
    async fn tidy(&mut self) {
        tokio::task::yield_now().await;
        if let Some(compiler) = &mut self.compiler {
            compiler.tidy();
        }
    }

    /// Brings one proxy's configuration up to date, unless it is just being asked something.
    fn publish_to(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&id).filter(|_| !self.blame.asks(id)) else { return };
        let (proxy, changed) = (subscriber.proxy.clone(), mem::take(&mut subscriber.changed));
        let last = subscriber.publish.borrow().as_ref().filter(|_| !changed).map(|update| update.compiled.clone());
        let Some(compiled) = self.compile(&proxy, last.as_ref()) else { return };
        let (version, taken) = (self.version, self.taken);
        let Some(subscriber) = self.subscribers.get(&id) else { return };
        subscriber.publish.send_if_modified(|current| {
            let differs = !current.as_ref().is_some_and(|current| current.compiled.same_as(&compiled));
            *current = Some(Update { compiled, version, taken, question: None });
            differs
        });
    }

    /// What a proxy gets that has got `last`; none while the mesh is not known.
    fn compile(&mut self, proxy: &Proxy, last: Option<&Compiled>) -> Option<Compiled> {
        let compiler = self.compiler.as_mut()?;
        loop {
            let compiled = match last {
                Some(last) => compiler.compile_again(proxy, last),
                None => compiler.compile(proxy),
            };
            if !self.blame.mend(compiler, &compiled, proxy) {
                return Some(compiled);
            }
        }
    }

    /// Forgets the proxies that are gone, if many are here.
    fn sweep(&mut self) {
        if self.subscribers.len() < self.sweep_at {
            return;
        }
        self.subscribers.retain(|_, subscriber| !subscriber.publish.is_closed());
        let subscribers = &self.subscribers;
        self.by_workload.retain(|_, ids| {
            ids.retain(|id| subscribers.contains_key(id));
            !ids.is_empty()
        });
        self.sweep_at = (2 * self.subscribers.len()).max(64);
    }
}
