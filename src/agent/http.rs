//! Small HTTP requests within the pod: one connection each, bounded in time.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens, or the connection broke.
    #[error("can't connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Too slow.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Not HTTP, or cut off.
    #[error("the answer is broken")]
    Protocol(#[from] hyper::Error),
    /// The body is too long or broken.
    #[error("the answer's body can't be read: {0}")]
    Body(String),
    /// A request that can't be made.
    #[error("not a request")]
    Request(#[from] http::Error),
    /// TLS failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The answer says no.
    #[error("{path} answers {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// The answer's status.
        status: http::StatusCode,
    },
}

/// The source of connections to the application, which the redirect rules let through.
const PROBE_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// A connection to a port of the application, past the redirect rules: the kubelet's own would come the same way, had it not been
/// captured.
///
/// # Errors
/// When nobody listens.
pub(super) async fn connect_application(address: SocketAddr) -> Result<TcpStream, HttpError> {
    let connect = async || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // IPv6 has no second loopback address to tell these connections by.
        if address.is_ipv4() {
            socket.bind(SocketAddr::new(PROBE_SOURCE, 0))?;
        }
        socket.connect(address).await
    };
    connect().await.map_err(|source| HttpError::Connect { address, source })
}

/// A connection to the pod itself.
///
/// # Errors
/// When nobody listens.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, HttpError> {
    TcpStream::connect(address).await.map_err(|source| HttpError::Connect { address, source })
}

/// Sends a request over a fresh connection and reads the head of its answer. The connection ends with the answer's body.
///
/// # Errors
/// When the other side does not speak HTTP.
pub(super) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, HttpError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection broke");
        }
    });
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(sender.send_request(request).await?)
}

/// The body as text, if it is not longer than `limit` bytes.
///
/// # Errors
/// When it is longer, or broken.
pub(super) async fn text(response: Response<Incoming>, limit: usize) -> Result<String, HttpError> {
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| HttpError::Body(error.to_string()))?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// Bounds a conversation in time.
///
/// # Errors
/// Its own, or that it took too long.
pub(super) async fn within<T>(limit: Duration, conversation: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
    timeout(limit, conversation).await.map_err(|_| HttpError::TimedOut(limit))?
}
