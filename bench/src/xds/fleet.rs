//! N simulated proxies.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    board::{Board, Goal, Reached, Recording},
    catalog::Catalog,
    kind::Kind,
    mesh::NAMESPACE,
    pki::Authority,
    proxy::{Memory, Proxy},
    stream::{Seat, Shared},
};

/// The proxies' service account.
const ACCOUNT: &str = "bench";

/// Handshakes at a time.
const HANDSHAKES: usize = 256;

/// Proxies with their streams, which end with this value.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    seats: Vec<Arc<Seat>>,
    streams: JoinSet<()>,
}

/// How long something took the fleet, from a moment to its first and last proxy, and what it read meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lap {
    pub(super) first: Duration,
    pub(super) last: Duration,
    /// Bytes of gRPC messages, for each proxy.
    pub(super) bytes: f64,
}

// === impl Fleet ===

impl Fleet {
    /// So many proxies, each with a certificate of its own, that are not connected yet.
    pub(super) fn new(server: SocketAddr, authority: &Authority, size: usize) -> anyhow::Result<Self> {
        let spiffe = format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/{ACCOUNT}");
        let seat = |number| {
            let proxy = Mutex::new(Proxy::new(NAMESPACE, ACCOUNT, number));
            anyhow::Ok(Arc::new(Seat { number, tls: authority.client(&spiffe)?, proxy }))
        };
        let seats = (0..size).map(seat).collect::<Result<_, _>>()?;
        let handshakes = Semaphore::new(HANDSHAKES);
        let shared = Arc::new(Shared { server, board: Board::default(), catalog: Mutex::new(Catalog::default()), handshakes });
        Ok(Self { shared, seats, streams: JoinSet::new() })
    }

    /// Connects all at once, and waits until each has all that it asked for. Connections that there are break off without a word.
    pub(super) async fn connect(&mut self, memory: Memory) -> anyhow::Result<Lap> {
        self.streams.shutdown().await;
        self.begin(Goal::Configured);
        let started = Instant::now();
        for seat in &self.seats {
            self.streams.spawn(seat.clone().run(self.shared.clone(), memory));
        }
        Ok(self.lap(started, self.shared.board.all().await?))
    }

    /// Does something that gives every proxy another form of a resource of that kind; the time counts from its end.
    pub(super) async fn change(&mut self, kind: Kind, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Lap> {
        self.begin(Goal::Changed(kind));
        work.await?;
        let done = Instant::now();
        Ok(self.lap(done, self.shared.board.all().await?))
    }

    /// What the first proxy was sent since the last call.
    pub(super) fn recording(&self) -> Recording {
        self.shared.board.recording()
    }

    fn begin(&self, goal: Goal) {
        self.shared.catalog().forget();
        self.shared.board.begin(goal, self.seats.len());
    }

    fn lap(&self, from: Instant, reached: Reached) -> Lap {
        // A proxy may have a change before the API server's answer is here.
        let since = |moment: Instant| moment.saturating_duration_since(from);
        #[expect(clippy::cast_precision_loss, reason = "bytes and proxies are far below 2^52")]
        let bytes = reached.bytes as f64 / self.seats.len() as f64;
        Lap { first: since(reached.first), last: since(reached.last), bytes }
    }
}
