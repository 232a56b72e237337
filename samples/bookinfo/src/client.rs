//! HTTP to the other services: GET of JSON over kept-alive connections, with a deadline.

use std::time::Duration;

use axum::body::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

/// More than any answer of the sample; an upstream can't fill this process's memory.
const MAX_ANSWER: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than the idle timeouts of the servers and proxies on the way, so that it is this side that closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
}

/// Why there is no answer from an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("no connection")]
    Unreachable(#[source] legacy::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer broke off or was too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
    #[error("no URI can be made of its address")]
    Uri(#[source] http::Error),
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http =
            legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector);
        Self { http }
    }

    /// GETs `http://{host}{path}` and parses its 200.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        host: &Authority,
        path: &str,
        headers: HeaderMap,
        deadline: Duration,
    ) -> Result<T, UpstreamError> {
        let answer = tokio::time::timeout(deadline, self.get_bytes(host, path, headers));
        let bytes = answer.await.map_err(|_| UpstreamError::TimedOut(deadline))??;
        serde_json::from_slice(&bytes).map_err(UpstreamError::Json)
    }

    async fn get_bytes(&self, host: &Authority, path: &str, headers: HeaderMap) -> Result<Bytes, UpstreamError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri(host, path).map_err(UpstreamError::Uri)?;
        *request.headers_mut() = headers;
        let response = self.http.request(request).await.map_err(UpstreamError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(UpstreamError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(UpstreamError::Body)?;
        Ok(body.to_bytes())
    }
}

// === impl UpstreamError ===

impl UpstreamError {
    /// The status that tells a caller of ours about it: the upstream's own where there is one, else what a gateway would say.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Status(status) => *status,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(_) | Self::Json(_) | Self::Uri(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

fn uri(host: &Authority, path: &str) -> Result<Uri, http::Error> {
    let path = PathAndQuery::try_from(path)?;
    Uri::builder().scheme(Scheme::HTTP).authority(host.clone()).path_and_query(path).build()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::tests::services::{Running, refused_address};

    const SOON: Duration = Duration::from_secs(5);

    async fn get_value(host: &Authority, path: &str, deadline: Duration) -> Result<serde_json::Value, UpstreamError> {
        Client::new().get(host, path, HeaderMap::new(), deadline).await
    }

    #[tokio::test]
    async fn silent_upstream_times_out() {
        // The kernel completes the connection; nobody ever answers on it.
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let host = silent.local_addr().expect("address").to_string().parse().expect("authority");
        let error = get_value(&host, "/", Duration::from_millis(50)).await.expect_err("silent");
        assert!(matches!(error, UpstreamError::TimedOut(_)), "{error:?}");
        assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let router = Router::new()
            .route("/teapot", get(|| async { StatusCode::IM_A_TEAPOT }))
            .route("/text", get(|| async { "text" }))
            .route("/long", get(|| async { format!("\"{}\"", "x".repeat(MAX_ANSWER)) }));
        let upstream = Running::start(router).await;
        let status = async |path| get_value(&upstream.authority(), path, SOON).await.expect_err("fails").status();
        assert_eq!(status("/teapot").await, StatusCode::IM_A_TEAPOT);
        assert_eq!(status("/text").await, StatusCode::BAD_GATEWAY);
        assert_eq!(status("/long").await, StatusCode::BAD_GATEWAY);
        let error = get_value(&refused_address().await, "/", SOON).await.expect_err("refused");
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        upstream.stop().await;
    }
}
