//! Who is connected, and how far each got: what the debug pages show.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

use super::{
    hub::Updates,
    metrics::Metrics,
    node::Claims,
    serve::{Progress, Rejection},
};
use crate::compile::ResourceType;
use crate::runtime::Registry;

/// All connections. Clones share the list.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    list: Arc<Mutex<List>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct List {
    next_id: u64,
    all: BTreeMap<u64, Arc<Connection>>,
}

/// One proxy's stream.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts up, so that a proxy's latest stream is its last.
    pub(super) id: u64,
    /// Who the proxy is.
    pub(super) claims: Arc<Claims>,
    /// Where it connects from.
    pub(super) address: Option<SocketAddr>,
    /// Since when.
    pub(super) since: SystemTime,
    /// What it is configured with.
    pub(super) updates: Updates,
    state: Mutex<ConnectionState>,
}

/// How far a proxy got.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionState {
    /// In the order of [`ResourceType::ALL`].
    pub(super) progress: [Progress; ResourceType::COUNT],
    /// What it refuses at present.
    pub(super) rejections: Vec<Rejection>,
    /// Since when it owes answers and gives none.
    silent: Option<Instant>,
}

/// A connection in the list, as long as this lives.
#[derive(Debug)]
pub(super) struct Registered {
    connections: Connections,
    connection: Arc<Connection>,
}

/// So long a proxy may owe an answer before it counts as stale.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Connections ===

impl Connections {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { list: Arc::default(), metrics }
    }

    /// The same, and the registry tells how many are stale.
    pub(super) fn registered(metrics: Metrics, registry: &mut Registry) -> Self {
        let connections = Self::new(metrics);
        registry.register_collector(Box::new(connections.clone()));
        connections
    }

    /// What is counted of them.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Adds a connection, until the result is dropped.
    pub(super) fn register(&self, claims: Arc<Claims>, address: Option<SocketAddr>, updates: Updates) -> Registered {
        let mut list = locked(&self.list);
        let id = list.next_id;
        list.next_id += 1;
        let connection = Arc::new(Connection { id, claims, address, since: SystemTime::now(), updates, state: Mutex::default() });
        list.all.insert(id, connection.clone());
        self.metrics.connected.inc();
        Registered { connections: self.clone(), connection }
    }

    /// All connections, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        locked(&self.list).all.values().cloned().collect()
    }

    /// The latest connection of a proxy, by its name `POD.NAMESPACE`.
    pub(super) fn of_proxy(&self, name: &str) -> Option<Arc<Connection>> {
        self.all().into_iter().rev().find(|connection| connection.claims.name() == name)
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let now = Instant::now();
        let stale = self.all().iter().filter(|connection| locked(&connection.state).is_stale(now)).count();
        let stale = ConstGauge::new(i64::try_from(stale).unwrap_or(i64::MAX));
        let help = "Connected proxies that refuse something, or have owed an answer for 10 s";
        stale.encode(encoder.encode_descriptor("pilot_xds_stale", help, None, MetricType::Gauge)?)
    }
}

// === impl Connection ===

impl Connection {
    /// How far the proxy got.
    pub(super) fn state(&self) -> ConnectionState {
        locked(&self.state).clone()
    }
}

// === impl ConnectionState ===

impl ConnectionState {
    /// How far a kind got.
    pub(super) fn of(&self, kind: ResourceType) -> Progress {
        self.progress[kind as usize]
    }

    /// Notes how far it got: whoever accepts anything is not silent.
    fn advance(&mut self, progress: [Progress; ResourceType::COUNT], now: Instant) {
        let owes = progress.iter().any(|one| one.sent != one.accepted);
        let accepts = progress.iter().zip(&self.progress).any(|(one, before)| one.accepted != before.accepted);
        self.silent = owes.then(|| self.silent.filter(|_| !accepts).unwrap_or(now));
        self.progress = progress;
    }

    /// Whether it holds on to something older than what it was told, for longer than answers take.
    fn is_stale(&self, now: Instant) -> bool {
        !self.rejections.is_empty() || self.silent.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }
}

// === impl Registered ===

impl Registered {
    /// Notes how far the proxy got. `rejections` only if they may have changed.
    pub(super) fn note(&self, progress: [Progress; ResourceType::COUNT], rejections: Option<Vec<Rejection>>) {
        let mut state = locked(&self.connection.state);
        state.advance(progress, Instant::now());
        if let Some(rejections) = rejections {
            state.rejections = rejections;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        locked(&self.connections.list).all.remove(&self.connection.id);
        self.connections.metrics.connected.dec();
    }
}

/// These values are whole at every moment, so a panic elsewhere spoils nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(sent: u64, accepted: u64) -> [Progress; ResourceType::COUNT] {
        let mut progress = <[Progress; ResourceType::COUNT]>::default();
        progress[ResourceType::Cluster as usize] = Progress { sent: Some(sent), accepted: Some(accepted) };
        progress
    }

    #[test]
    fn a_proxy_is_stale_that_refuses_or_owes_an_answer_for_long() {
        let (mut state, began) = (ConnectionState::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        state.advance(progress(1, 0), at(0));
        assert!(!state.is_stale(at(9)) && state.is_stale(at(10)));
        // More is sent meanwhile, which is no answer.
        state.advance(progress(2, 0), at(9));
        assert!(state.is_stale(at(10)));
        // It never catches up, but works.
        state.advance(progress(3, 1), at(9));
        assert!(!state.is_stale(at(18)) && state.is_stale(at(19)));
        state.advance(progress(3, 3), at(20));
        assert!(!state.is_stale(at(1000)));
    }
}
