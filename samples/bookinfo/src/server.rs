//! The HTTP server of any of the services: its routes, `/health`, a log line for each request, and a drain.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::args::{Service, Settings};
use crate::headers::REQUEST_ID;
use crate::{details, productpage, ratings, reviews};

const HEALTH: &str = "/health";
/// The only body that is read is the sign-in form.
const MAX_REQUEST_BODY: usize = 16 << 10;

/// Listens on all addresses, IPv6 included where the machine has it.
pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await,
        bound => bound,
    }
}

/// The routes of the service that `settings` name. Fails on a version that the service does not have.
pub(crate) fn router(settings: &Settings) -> Result<Router, reviews::UnknownVersion> {
    let service = settings.service;
    let routes = match service {
        Service::Productpage => productpage::router(settings),
        Service::Details => details::router(),
        Service::Reviews => reviews::router(settings)?,
        Service::Ratings => ratings::router(),
    };
    let health = move || async move { Json(serde_json::json!({ "status": format!("{service} is healthy") })) };
    Ok(routes
        .route(HEALTH, get(health))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BODY))
        .layer(from_fn_with_state(Arc::new(settings.clone()), log_request)))
}

/// Serves until `draining` closes, then finishes the requests at hand.
pub(crate) async fn serve(listener: TcpListener, router: Router, draining: oneshot::Receiver<()>) -> io::Result<()> {
    let drained = async {
        // The sender never sends: it is dropped.
        let _ = draining.await;
    };
    axum::serve(listener, router).with_graceful_shutdown(drained).await
}

/// One line for each request, but for the probes, which come every few seconds and say nothing new.
async fn log_request(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    if request.uri().path() == HEALTH {
        return next.run(request).await;
    }
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let request_id = request.headers().get(REQUEST_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let response = next.run(request).await;
    tracing::info!(
        service = %settings.service,
        version = %settings.version,
        %method,
        path,
        status = response.status().as_u16(),
        duration_ms = started.elapsed().as_secs_f64() * 1000.0,
        request_id,
        "request"
    );
    response
}
