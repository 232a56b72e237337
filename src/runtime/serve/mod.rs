//! Listeners: bounded connections, TLS, HTTP/1.1 and HTTP/2 (so gRPC too), an orderly end.

mod carrier;
mod shares;
#[cfg(test)]
mod tests;
mod unix;

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use std::{future::pending, io, net::SocketAddr, path::Path, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use self::shares::Shares;
pub use self::{carrier::Carrier, unix::UnixSocket};
use crate::runtime::{CertificateSource, ClientAuth, Peer, Shutdown, TlsError, WorkloadCert, server_config};

/// A bound socket. Bind every one before anything is spawned: a taken port then fails the start.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

/// The current TLS configuration of a server; none until there is a certificate.
pub type TlsSource = watch::Receiver<Option<Arc<ServerConfig>>>;

/// How connections are secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// HTTP/1.1 in plain text: monitoring.
    Plain,
    /// HTTP/2 in plain text, by prior knowledge: gRPC on a Unix socket.
    PlainHttp2,
    /// TLS with the configuration that is current when a connection begins. Accepts once there is one.
    Tls(TlsSource),
    /// Mutual TLS within the mesh: shows the workload's certificate, demands one of the same root that states an identity. Accepts once
    /// there is a certificate.
    Mutual(CertificateSource),
}

/// What one listener may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue. One address gets a quarter of them.
    pub connections: usize,
    /// HTTP/2 requests at a time in one connection.
    pub streams: u32,
    /// Time for a TLS handshake, and for the first request after it.
    pub handshake: Duration,
    /// Time for the head of each HTTP/1.1 request after the one before. It is to be longer than clients keep a connection to use it again
    /// (Go's 90 s, and so the API server's): a request that crosses our end of the connection on its way fails.
    pub idle: Duration,
    /// Time for requests in flight after shutdown was asked for; connections are cut off then.
    pub drain: Duration,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type BoxStream = Box<dyn Stream>;

/// How one connection speaks, fixed when it is accepted.
#[derive(Clone)]
enum Handshake {
    Plain(Version),
    Tls { config: Arc<ServerConfig>, identity_required: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// So many bytes of an answer wait for a peer that does not read, beside what the kernel takes. A thousand may be slow at a time.
const SEND_BUFFER: usize = 64 * 1024;

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// Enough for a mesh of some thousand workloads, and small enough that a flood can't fill the memory.
    pub const DEFAULT: Self = Self {
        connections: 8192,
        streams: 256,
        handshake: Duration::from_secs(10),
        idle: Duration::from_secs(120),
        drain: Duration::from_secs(10),
    };

    /// A webhook's: API servers share few connections between all requests, and more than this is a flood.
    pub fn webhook() -> Self {
        Self { connections: 512, ..Self::default() }
    }
}

// === impl Security ===

impl Security {
    /// TLS with a configuration that never changes (a resolver in it may still change the certificate).
    pub fn fixed(config: Arc<ServerConfig>) -> Self {
        Self::Tls(watch::channel(Some(config)).1)
    }
}

// === impl Listener ===

impl Listener {
    /// Binds a TCP port.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|e| io::Error::new(e.kind(), format!("can't listen on {address}: {e}")))?;
        Ok(Self { socket: Socket::Tcp(listener) })
    }

    /// Binds a Unix socket, in place of one that an earlier process left.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn bind_unix(path: &Path) -> io::Result<Self> {
        Ok(Self { socket: Socket::Unix(UnixSocket::bind(path)?) })
    }

    /// The bound address; none for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Answers requests until shutdown is requested and connections have ended. Each request carries a [`Peer`] extension.
    ///
    /// # Errors
    /// When a workload's certificate can't be used for TLS at all.
    pub async fn serve(self, router: Router, security: Security, limits: Limits, shutdown: Shutdown) -> Result<(), TlsError> {
        let Some(mut handshakes) = Handshakes::new(security, &shutdown).await? else { return Ok(()) };
        let slots = Arc::new(Semaphore::new(limits.connections));
        let shares = Shares::of(limits.connections);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(&slots) => accepted,
            };
            match accepted {
                Ok((stream, address, slot)) => {
                    let share = address.map(|address| shares.take(address.ip()));
                    if let Some(None) = share {
                        tracing::debug!(?address, "connection refused: this address holds its share");
                        continue;
                    }
                    let handshake = handshakes.current();
                    let connection = connection(stream, address, handshake, router.clone(), limits, shutdown.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop((slot, share));
                    });
                }
                Err(error) => {
                    // Mostly "too many open files": ends when connections do, so it must not spin until then.
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(BoxStream, Option<SocketAddr>, OwnedSemaphorePermit)> {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Some(address), slot))
            }
            Socket::Unix(socket) => Ok((Box::new(socket.accept().await?), None, slot)),
        }
    }
}

/// The way from a [`Security`] to the handshake of the next connection.
enum Handshakes {
    Plain(Version),
    Tls { source: TlsSource, config: Arc<ServerConfig> },
    Mutual { source: CertificateSource, config: Arc<ServerConfig> },
}

// === impl Handshakes ===

impl Handshakes {
    /// `None` when shutdown came before the first certificate.
    async fn new(security: Security, shutdown: &Shutdown) -> Result<Option<Self>, TlsError> {
        Ok(match security {
            Security::Plain => Some(Self::Plain(Version::Http1)),
            Security::PlainHttp2 => Some(Self::Plain(Version::Http2)),
            Security::Tls(mut source) => first(&mut source, shutdown).await.map(|config| Self::Tls { source, config }),
            Security::Mutual(mut source) => match first(&mut source, shutdown).await {
                Some(certificate) => Some(Self::Mutual { source, config: mutual(&certificate)? }),
                None => None,
            },
        })
    }

    fn current(&mut self) -> Handshake {
        match self {
            Self::Plain(version) => Handshake::Plain(*version),
            Self::Tls { source, config } => {
                if let Some(renewed) = source.borrow().as_ref() {
                    config.clone_from(renewed);
                }
                Handshake::Tls { config: config.clone(), identity_required: false }
            }
            Self::Mutual { source, config } => {
                // Building a configuration takes a while, so it is done once a certificate.
                if source.has_changed().unwrap_or(false)
                    && let Some(certificate) = source.borrow_and_update().clone()
                {
                    match mutual(&certificate) {
                        Ok(renewed) => *config = renewed,
                        Err(error) => tracing::error!(%error, "renewed certificate can't be served; the old one stays"),
                    }
                }
                Handshake::Tls { config: config.clone(), identity_required: true }
            }
        }
    }
}

/// Waits for the first value; none when shutdown or the source's end comes before.
async fn first<T: Clone>(source: &mut watch::Receiver<Option<T>>, shutdown: &Shutdown) -> Option<T> {
    tokio::select! {
        () = shutdown.requested() => None,
        value = source.wait_for(Option::is_some) => value.ok()?.clone(),
    }
}

fn mutual(own: &WorkloadCert) -> Result<Arc<ServerConfig>, TlsError> {
    server_config(own.chain.clone(), own.key(), ClientAuth::Required(&own.roots))
}

async fn connection(
    stream: BoxStream,
    address: Option<SocketAddr>,
    handshake: Handshake,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let mut peer = Peer { address, identity: None };
    match handshake {
        Handshake::Plain(version) => converse(stream, version, (peer, Carrier::of(None)), router, limits, shutdown).await,
        Handshake::Tls { config, identity_required } => {
            let stream = match timeout(limits.handshake, TlsAcceptor::from(config).accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(?address, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(?address, "TLS handshake took too long"),
            };
            let (_, session) = stream.get_ref();
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            peer.identity = certificate.and_then(Peer::identity_of);
            let client = (peer, Carrier::of(certificate));
            if identity_required && client.0.identity.is_none() {
                return tracing::info!(?address, "client certificate states no identity of the mesh");
            }
            let version = if session.alpn_protocol() == Some(b"h2") { Version::Http2 } else { Version::Http1 };
            converse(Box::new(stream), version, client, router, limits, shutdown).await;
        }
    }
}

/// Answers one connection's requests.
async fn converse(
    stream: BoxStream,
    version: Version,
    (peer, carrier): (Peer, Carrier),
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let (address, closed) = (peer.address, carrier.clone());
    let (asking, mut asked) = watch::channel(false);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asking.send_replace(true);
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(carrier.clone());
        router.clone().call(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.idle);
    // The keep-alive notices a peer that is gone without a word, whose slot would stay taken for ever. It begins with the first frame,
    // so who sends none is given a time below.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(limits.streams)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(64 * 1024);
    let builder = if version == Version::Http2 { builder.http2_only() } else { builder.http1_only() };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut closing = pin!(closed.closing());
    let mut open = true;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = nothing_asked(&mut asked, limits.handshake) => return tracing::debug!(?address, "connection without a request cut off"),
            () = &mut closing, if open => {
                open = false;
                connection.as_mut().graceful_shutdown();
            }
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                match timeout(limits.drain, connection.as_mut()).await {
                    Ok(result) => break result,
                    Err(_) => return tracing::info!(?address, "connection cut off at the end of the drain"),
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(?address, %error, "connection broke");
    }
}

/// Returns when no request has come within `patience`; never once one has.
async fn nothing_asked(asked: &mut watch::Receiver<bool>, patience: Duration) {
    if timeout(patience, asked.wait_for(|asked| *asked)).await.is_ok() {
        pending::<()>().await;
    }
}
