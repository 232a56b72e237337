//! One delta ADS stream of a simulated proxy: TCP, mutual TLS, HTTP/2, gRPC.

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use envoy_api::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use h2::{RecvStream, SendStream, client};
use http::{Request, Response};
use rustls::ClientConfig;
use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    board::{Board, Goal},
    catalog::{Catalog, Id},
    pki::SERVER,
    proxy::{Memory, Proxy},
    wire::{Reader, frame_len, framed},
};

/// Envoy's own defaults of HTTP/2, in bytes.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 24 * 1024 * 1024;

/// A server gives one address a share of its connections, as no pod has so many proxies: the fleet comes from some addresses of loopback.
const ADDRESSES: usize = 16;

/// What the streams of a fleet have in common.
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) board: Board,
    pub(super) catalog: Mutex<Catalog>,
    /// So many handshakes at a time: more than a listener's queue holds would wait for the kernel to try again, which takes it a second.
    pub(super) handshakes: Semaphore,
}

/// A proxy's seat in the fleet: it outlives its streams.
pub(super) struct Seat {
    pub(super) number: usize,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Mutex<Proxy>,
}

/// An open stream.
struct Stream<'a> {
    seat: &'a Seat,
    shared: &'a Shared,
    requests: SendStream<Bytes>,
    reader: Reader<Id>,
    /// The last round in which the proxy reached the goal.
    counted: u64,
    /// The bytes since the last response ended. Only of the proxy that is recorded.
    recorded: Option<BytesMut>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seat ===

impl Seat {
    fn proxy(&self) -> MutexGuard<'_, Proxy> {
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream and keeps it up. Whatever ends it is told to the board.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>, memory: Memory) {
        if let Err(error) = self.converse(&shared, memory).await {
            let error = error.context(format!("proxy {}", self.proxy().id()));
            shared.board.failed(error);
        }
    }

    async fn converse(&self, shared: &Shared, memory: Memory) -> anyhow::Result<()> {
        let permit = shared.handshakes.acquire().await?;
        let tls = self.connect(shared.server).await.context("can't connect")?;
        drop(permit);
        let mut builder = client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).enable_push(false);
        let (mut client, connection) = builder.handshake::<_, Bytes>(tls).await?;
        let request =
            Request::post(format!("https://{SERVER}/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())?;
        let (response, requests) = client.send_request(request, false)?;
        let recorded = (self.number == 0).then(BytesMut::new);
        let stream = Stream { seat: self, shared, requests, reader: Reader::new(), counted: 0, recorded };
        let (mut connection, mut stream) = (pin!(connection), pin!(stream.run(response, memory)));
        // One task does both: what is read is answered, and the answer written, without waiting for thousands of other tasks.
        poll_fn(|context| {
            let ended = connection.as_mut().poll(context).map(closed);
            let ended = if ended.is_ready() { ended } else { stream.as_mut().poll(context) };
            if ended.is_ready() { ended } else { connection.as_mut().poll(context).map(closed) }
        })
        .await
    }

    async fn connect(&self, server: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        let last = u8::try_from(self.number % ADDRESSES).context("addresses of loopback")?;
        socket.bind(([127, 0, 1, last + 1], 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(TlsConnector::from(self.tls.clone()).connect(SERVER.try_into()?, stream).await?)
    }
}

// === impl Stream ===

impl Stream<'_> {
    async fn run(mut self, response: h2::client::ResponseFuture, memory: Memory) -> anyhow::Result<()> {
        let opening = self.seat.proxy().open(memory, &self.shared.catalog());
        self.send(&opening)?;
        let response = response.await?;
        ensure!(response.status() == 200, "the server answered {}", response.status());
        refusal(&response)?;
        let mut body = response.into_body();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.context("the stream broke")?;
            body.flow_control().release_capacity(chunk.len())?;
            self.shared.board.read(chunk.len());
            self.take(&chunk)?;
        }
        bail!("the server ended the stream: {}", last_words(body).await)
    }

    fn take(&mut self, chunk: &[u8]) -> anyhow::Result<()> {
        let responses = {
            let mut catalog = self.shared.catalog();
            self.reader.push(chunk, |resource| catalog.take(resource))?
        };
        if let Some(recorded) = &mut self.recorded {
            recorded.extend_from_slice(chunk);
            for response in &responses {
                let length = frame_len(recorded).context("a response without a head")?;
                self.shared.board.record(response.type_url.clone(), &recorded.split_to(length));
            }
        }
        for response in responses {
            let (step, configured) = {
                let mut proxy = self.seat.proxy();
                let step = proxy.take(&response, &mut self.shared.catalog())?;
                (step, proxy.is_configured())
            };
            self.send(&step.requests)?;
            let (round, goal) = self.shared.board.round();
            let reached = match goal {
                Some(Goal::Configured) => configured,
                Some(Goal::Changed(kind)) => step.changed == Some(kind),
                None => false,
            };
            if reached && self.counted != round {
                self.counted = round;
                self.shared.board.reached();
            }
        }
        Ok(())
    }

    fn send(&mut self, requests: &[DeltaDiscoveryRequest]) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        requests.iter().for_each(|request| bytes.extend_from_slice(&framed(request)));
        if !bytes.is_empty() {
            self.requests.send_data(bytes.freeze(), false)?;
        }
        Ok(())
    }
}

/// What the end of a connection means: no proxy ends one.
fn closed(ended: Result<(), h2::Error>) -> anyhow::Result<()> {
    ended.context("the connection broke").and_then(|()| bail!("the server closed the connection"))
}

/// A server that refuses a stream at once says why in the head of its answer.
fn refusal<T>(response: &Response<T>) -> anyhow::Result<()> {
    let text = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status") {
        Some(status) => bail!("the server refused the stream: status {status}, {}", text("grpc-message").unwrap_or_default()),
        None => Ok(()),
    }
}

async fn last_words(mut body: RecvStream) -> String {
    match body.trailers().await {
        Ok(Some(trailers)) => format!("{:?} {:?}", trailers.get("grpc-status"), trailers.get("grpc-message")),
        Ok(None) => "without a status".to_owned(),
        Err(error) => error.to_string(),
    }
}
