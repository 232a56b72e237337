//! Whether the pod's proxy serves, and waiting for it.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::Empty;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

use super::{Serving, Status};
use crate::agent::{
    EnvoyState, HttpError,
    http::{connect, send, text, within},
};

/// `GET /healthz/ready`.
pub(super) async fn ready(State(status): State<Arc<Status>>) -> Response {
    match status.awaited().await {
        None => "ready\n".into_response(),
        Some(awaited) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {awaited}\n")).into_response(),
    }
}

// === impl Status ===

impl Status {
    /// What keeps the proxy from serving.
    async fn awaited(&self) -> Option<&'static str> {
        if self.draining.has_begun() {
            return Some("draining");
        }
        let admin = match &self.serving {
            Serving::Envoy(admin) => admin,
            Serving::Grpc(grpc) => return grpc.awaited(),
        };
        match admin.state().await {
            Ok(EnvoyState::Live) => None,
            Ok(EnvoyState::Waiting(awaited)) => Some(awaited),
            Err(_) if self.certificate.borrow().is_none() => Some("no certificate from citadel yet"),
            Err(_) => Some("envoy does not answer"),
        }
    }
}

/// Waits until the agent at `port` of this machine says that it is ready.
///
/// # Errors
/// What it said last, or why it said nothing, when `limit` is over.
pub async fn wait_until_ready(port: u16, limit: Duration) -> Result<(), String> {
    const INTERVAL: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + limit;
    loop {
        let said = match ask(([127, 0, 0, 1], port).into()).await {
            Ok((true, _)) => return Ok(()),
            Ok((false, page)) => page.trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() + INTERVAL > deadline {
            return Err(said);
        }
        sleep(INTERVAL).await;
    }
}

async fn ask(address: SocketAddr) -> Result<(bool, String), HttpError> {
    within(Duration::from_secs(2), async {
        let request = http::Request::get("/healthz/ready").header(http::header::HOST, "localhost").body(Empty::<Bytes>::new())?;
        let response = send(connect(address).await?, request).await?;
        Ok((response.status().is_success(), text(response, 4096).await?))
    })
    .await
}
