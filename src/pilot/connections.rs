//! Who is connected, and how far each got: what the debug pages show.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    hub::Updates,
    metrics::Metrics,
    node::Claims,
    serve::{Progress, Rejection},
};
use crate::compile::ResourceType;

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
}

/// A connection in the list, as long as this lives.
#[derive(Debug)]
pub(super) struct Registered {
    connections: Connections,
    connection: Arc<Connection>,
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { list: Arc::default(), metrics }
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
}

// === impl Registered ===

impl Registered {
    /// Notes how far the proxy got. `rejections` only if they may have changed.
    pub(super) fn note(&self, progress: [Progress; ResourceType::COUNT], rejections: Option<Vec<Rejection>>) {
        let mut state = locked(&self.connection.state);
        state.progress = progress;
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
