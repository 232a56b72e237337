//! The sockets to which the application's queries are redirected.

use prometheus_client::metrics::counter::Counter;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use super::{
    answer::{Outcome, answer, failed},
    table::NameTable,
    upstream::{Upstream, read_message, write_message},
};
use crate::runtime::{Registry, Shutdown};

/// As many queries may wait for servers by UDP; more are not heard. A resolver asks again.
const WAITING: usize = 256;
/// As many connections may be open.
const CONNECTIONS: usize = 64;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// The largest query by UDP that is read.
const LARGEST_QUERY: usize = 4096;

/// The agent's sockets for DNS: by both protocols, on each address of localhost.
#[derive(Debug)]
pub(super) struct DnsListeners(Vec<(UdpSocket, TcpListener)>);

/// What answering takes. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) table: NameTable,
    pub(super) search: Arc<[String]>,
    pub(super) upstream: Upstream,
    pub(super) counts: Counts,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    queries: Counter,
    passed_on: Counter,
    unanswered: Counter,
}

// === impl DnsListeners ===

impl DnsListeners {
    /// Binds that port; 0 takes any, the same one by both protocols.
    ///
    /// # Errors
    /// When it is taken.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        let first = Self::pair(Ipv4Addr::LOCALHOST.into(), port).await?;
        let port = first.1.local_addr()?.port();
        let mut pairs = vec![first];
        match Self::pair(Ipv6Addr::LOCALHOST.into(), port).await {
            Ok(pair) => pairs.push(pair),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // There is no IPv6 here, and nobody asks by it.
            Err(_) => {}
        }
        Ok(Self(pairs))
    }

    async fn pair(address: IpAddr, port: u16) -> io::Result<(UdpSocket, TcpListener)> {
        let listener = TcpListener::bind((address, port)).await?;
        Ok((UdpSocket::bind(listener.local_addr()?).await?, listener))
    }

    /// Answers until shutdown.
    ///
    /// # Errors
    /// None: what fails is one query.
    pub(super) async fn serve(self, resolver: Resolver, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut servers = JoinSet::new();
        for (socket, listener) in self.0 {
            servers.spawn(by_udp(Arc::new(socket), resolver.clone()));
            servers.spawn(by_tcp(listener, resolver.clone()));
        }
        // Who is dropped ends.
        shutdown.requested().await;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|(_, listener)| listener.local_addr().unwrap()).collect()
    }
}

async fn by_udp(socket: Arc<UdpSocket>, resolver: Resolver) {
    let mut asking = JoinSet::new();
    let mut query = vec![0; LARGEST_QUERY];
    loop {
        let (length, client) = tokio::select! {
            Some(_) = asking.join_next() => continue,
            // An error is about an earlier reply, which nobody waited for.
            received = socket.recv_from(&mut query) => match received {
                Ok(received) => received,
                Err(_) => continue,
            },
        };
        resolver.counts.queries.inc();
        match answer(&query[..length], true, &resolver.table, &resolver.search) {
            Outcome::Reply(reply) => _ = socket.send_to(&reply, client).await,
            Outcome::Ask if asking.len() < WAITING => {
                _ = asking.spawn(pass_on(socket.clone(), client, query[..length].to_vec(), resolver.clone()))
            }
            Outcome::Ask => _ = resolver.counts.unanswered.inc(),
            Outcome::Nothing => {}
        }
    }
}

async fn pass_on(socket: Arc<UdpSocket>, client: SocketAddr, query: Vec<u8>, resolver: Resolver) {
    let reply = resolver.upstream.ask_by_udp(&query).await;
    if let Some(reply) = resolver.counts.of(reply).or_else(|| failed(&query)) {
        // Who does not listen any more does not need it.
        let _ = socket.send_to(&reply, client).await;
    }
}

async fn by_tcp(listener: TcpListener, resolver: Resolver) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    open.spawn(converse(stream, resolver.clone()));
                }
            }
        }
    }
}

async fn converse(mut stream: TcpStream, resolver: Resolver) {
    while let Ok(Ok(query)) = timeout(SILENCE, read_message(&mut stream)).await {
        resolver.counts.queries.inc();
        let reply = match answer(&query, false, &resolver.table, &resolver.search) {
            Outcome::Reply(reply) => Some(reply),
            Outcome::Ask => resolver.counts.of(resolver.upstream.ask_by_tcp(&query).await).or_else(|| failed(&query)),
            Outcome::Nothing => None,
        };
        let Some(reply) = reply else { return };
        if write_message(&mut stream, &reply).await.is_err() {
            return;
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Counts that appear in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        registry.register("dns_requests", "DNS queries of the application", counts.queries.clone());
        registry.register("dns_upstream_requests", "DNS queries that were passed on to the pod's servers", counts.passed_on.clone());
        registry.register("dns_upstream_failures", "DNS queries that no server answered", counts.unanswered.clone());
        counts
    }

    /// Notes what servers said.
    fn of(&self, reply: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.passed_on.inc();
        if reply.is_none() {
            self.unanswered.inc();
        }
        reply
    }
}
