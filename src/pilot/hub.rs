//! The one place where configurations are compiled, and the way from there to the sessions.
//!
//! One task owns the compiler. It takes the mesh's next snapshot, brings the configuration of every connected proxy up to date, and wakes
//! the sessions for which something differs; to compile for a proxy whose scope another shares is a few lookups. So a thousand proxies
//! cost one pass, nobody waits for a lock, and a change that concerns one proxy wakes one session. All that changes during a pass is taken
//! by the next one: changes coalesce exactly as long as there is work in hand. Between two handfuls of proxies the task steps aside, so
//! that the first ones are served while the last ones are still compiled for.
//!
//! A session sees its configuration through a watch, which keeps the latest only: a slow proxy holds one.

use std::{collections::BTreeMap, sync::Arc};

use futures::{Stream, StreamExt};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    metrics::Metrics,
    node::{Claims, NodeError},
};
use crate::compile::{Compiled, Compiler, Proxy};
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
}

/// The current configuration of a proxy; none until the mesh is known. Ends when the proxy is no longer who it said it is.
pub(super) type Updates = watch::Receiver<Option<Update>>;

/// The sessions' end of the hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    joining: mpsc::Sender<Join>,
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
    claims: Claims,
    answer: oneshot::Sender<Result<Updates, NodeError>>,
}

struct Subscriber {
    claims: Claims,
    proxy: Proxy,
    publish: watch::Sender<Option<Update>>,
}

/// The task.
pub(super) struct HubTask {
    joining: mpsc::Receiver<Join>,
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
}

// === impl Hub ===

impl Hub {
    /// A hub and the task that makes it work. `synced` is released when the mesh is known.
    pub(super) fn new(metrics: Metrics, needed: NeededSecrets, synced: ReadyGuard) -> (Self, HubTask) {
        let (sender, joining) = mpsc::channel(WAITING);
        let task = HubTask {
            joining,
            compiler: None,
            version: 0,
            taken: Instant::now(),
            subscribers: BTreeMap::new(),
            by_workload: BTreeMap::new(),
            next_id: 0,
            sweep_at: 64,
            metrics,
            needed,
            synced: Some(synced),
        };
        (Self { joining: sender }, task)
    }

    /// Subscribes to a proxy's configuration, until the result is dropped.
    ///
    /// # Errors
    /// When the proxy's pod belongs to another identity, or the process ends.
    pub(super) async fn join(&self, claims: Claims) -> Result<Updates, JoinError> {
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
                let _ = join.answer.send(Ok(updates.clone()));
            }
        });
        Self { joining: sender }
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
                news = source.next() => {
                    let (snapshot, changes) = news.ok_or(HubError::SourceEnded)?;
                    self.advance(snapshot, &changes);
                    self.distribute().await;
                    self.tell_needed();
                }
            }
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
            Ok(proxy) => proxy,
            Err(error) => {
                // Whoever does not wait for the answer needs none.
                let _ = join.answer.send(Err(error));
                return;
            }
        };
        let (version, taken) = (self.version, self.taken);
        let update = self.compiler.as_mut().map(|compiler| Update { compiled: compiler.compile(&proxy), version, taken });
        let (publish, updates) = watch::channel(update);
        if join.answer.send(Ok(updates)).is_err() {
            return;
        }
        self.sweep();
        self.by_workload.entry(proxy.key.clone()).or_default().push(self.next_id);
        self.subscribers.insert(self.next_id, Subscriber { claims: join.claims, proxy, publish });
        self.next_id += 1;
    }

    /// Takes the next snapshot.
    fn advance(&mut self, snapshot: Arc<Snapshot>, changes: &Changes) {
        self.taken = Instant::now();
        self.version = snapshot.version;
        self.metrics.mesh_changed(&snapshot, changes);
        let workloads = changes.iter().filter_map(|change| match change {
            Change::Workload(key) => Some(key),
            _ => None,
        });
        for key in workloads {
            self.workload_changed(key, &snapshot);
        }
        match &mut self.compiler {
            Some(compiler) => compiler.advance(snapshot, changes),
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
                Ok(proxy) => subscriber.proxy = proxy,
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
        let Some(compiler) = &mut self.compiler else { return };
        for (at, subscriber) in self.subscribers.values().enumerate() {
            if at % HANDFUL == HANDFUL - 1 {
                tokio::task::yield_now().await;
            }
            let compiled = compiler.compile(&subscriber.proxy);
            let (version, taken) = (self.version, self.taken);
            subscriber.publish.send_if_modified(|current| {
                let differs = !current.as_ref().is_some_and(|current| current.compiled.same_as(&compiled));
                *current = Some(Update { compiled, version, taken });
                differs
            });
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
