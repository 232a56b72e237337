//! A closed loop of HTTP requests over TLS: each connection sends its next request when it has the answer to the last.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use crate::statistics::percentile;

/// What is sent to whom, and how.
#[derive(Clone)]
pub(crate) struct Load {
    /// The server.
    pub(crate) address: SocketAddr,
    /// How it is trusted.
    pub(crate) tls: Arc<ClientConfig>,
    /// The path of each request.
    pub(crate) path: &'static str,
    /// The body of each request, JSON.
    pub(crate) body: Bytes,
    /// What each answer must contain.
    pub(crate) expected: &'static str,
    /// How many connections send at once.
    pub(crate) connections: usize,
    /// How long.
    pub(crate) duration: Duration,
}

/// What came of it.
pub(crate) struct Throughput {
    /// Answered requests a second.
    pub(crate) per_second: f64,
    /// 99 of 100 requests took less.
    pub(crate) p99: Duration,
}

// === impl Load ===

impl Load {
    /// Sends until the time is over.
    ///
    /// # Errors
    /// When a request fails, is not answered by 200 or not as expected: a figure of failures would be none.
    pub(crate) async fn run(self) -> anyhow::Result<Throughput> {
        let started = Instant::now();
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            connections.spawn(self.clone().connection(started + self.duration));
        }
        let mut latencies = Vec::new();
        while let Some(finished) = connections.join_next().await {
            latencies.extend(finished??);
        }
        let elapsed = started.elapsed().as_secs_f64();
        ensure!(!latencies.is_empty(), "not one request was answered");
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let per_second = latencies.len() as f64 / elapsed;
        Ok(Throughput { per_second, p99: percentile(&mut latencies, 0.99) })
    }

    async fn connection(self, end: Instant) -> anyhow::Result<Vec<Duration>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = "localhost".try_into().context("localhost is a name")?;
        let stream = TlsConnector::from(self.tls).connect(name, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let request = Request::post(self.path)
                .header(header::HOST, "localhost")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(self.body.clone()))?;
            let sent = Instant::now();
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            latencies.push(sent.elapsed());
            let text = String::from_utf8_lossy(&body);
            ensure!(status.is_success() && text.contains(self.expected), "{} answered {status}: {text}", self.path);
        }
        drop(sender);
        driver.await??;
        Ok(latencies)
    }
}
