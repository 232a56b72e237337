//! `GET /stats/prometheus`: Envoy's metrics, the application's and the agent's, on one page.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use serde::Deserialize;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

use super::{Serving, Status, merge::Page};
use crate::agent::{
    HttpError,
    http::{connect_application, send, within},
};
use crate::runtime::{Registry, encode_metrics};

/// Where the application's own metrics are: what `prometheus.io/*` annotations said before the injector changed them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AppMetrics {
    /// `true`, unless they are not to be scraped.
    pub scrape: String,
    /// The path of the page.
    pub path: String,
    /// The port of the page.
    pub port: String,
}

/// Scrapes that failed, by whose page it was.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct ScrapeFailures(Family<PageLabel, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PageLabel {
    page: &'static str,
}

/// How long a page may hesitate, before its first piece and between pieces. Prometheus itself gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

// === impl AppMetrics ===

impl Default for AppMetrics {
    fn default() -> Self {
        Self { scrape: "true".to_owned(), path: "/metrics".to_owned(), port: "80".to_owned() }
    }
}

/// Registers the count of scrapes that failed.
pub(in crate::agent) fn register(registry: &mut Registry) -> ScrapeFailures {
    let failures = ScrapeFailures::default();
    registry.register("scrape_failures", "Pages of metrics that could not be merged", failures.0.clone());
    failures
}

// === impl ScrapeFailures ===

impl ScrapeFailures {
    fn note(&self, page: &'static str, reason: &str) {
        tracing::warn!(page, reason, "metrics can't be merged");
        self.0.get_or_create(&PageLabel { page }).inc();
    }
}

pub(super) async fn metrics(State(status): State<Arc<Status>>, RawQuery(query): RawQuery) -> Response {
    let (envoy, app) = tokio::join!(status.envoy_page(query.as_deref()), status.app_page());
    let envoy = page("envoy", Page::of_envoy(), envoy, status.failures.clone());
    let app = page("application", Page::of_others(), app, status.failures.clone());
    // Last, so that it counts this scrape's failures too.
    let own = stream::once(async move {
        let mut page = Page::of_others();
        Bytes::from(page.feed(encode_metrics(&status.registry).as_bytes()).unwrap_or_default())
    });
    let body = envoy.chain(app).chain(own).map(Ok::<_, Infallible>);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from_stream(body)).into_response()
}

// === impl Status ===

impl Status {
    /// Envoy's page; none if there is no Envoy.
    async fn envoy_page(&self, query: Option<&str>) -> Option<Result<http::Response<Incoming>, HttpError>> {
        match &self.serving {
            Serving::Envoy(admin) => Some(admin.metrics(query).await),
            Serving::Grpc(_) => None,
        }
    }

    /// The application's page; none if it has none. A dead application is not the proxy's failure.
    async fn app_page(&self) -> Option<Result<http::Response<Incoming>, HttpError>> {
        let app = self.app_metrics.as_ref().filter(|app| app.scrape != "false")?;
        let port = app.port.parse().ok()?;
        let address = SocketAddr::new(self.address, port);
        let path = if app.path.starts_with('/') { app.path.clone() } else { format!("/{}", app.path) };
        let conversation = async {
            let request = http::Request::get(&path)
                .header(header::HOST, address.to_string())
                .header(header::ACCEPT, "text/plain;version=0.0.4")
                .body(Empty::<Bytes>::new())?;
            let response = send(connect_application(address).await?, request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(HttpError::Status { path, status: response.status() })
        };
        Some(within(PATIENCE, conversation).await)
    }
}

/// The pieces of one page, ready to be passed on.
fn page(
    name: &'static str,
    page: Page,
    response: Option<Result<http::Response<Incoming>, HttpError>>,
    failures: ScrapeFailures,
) -> impl Stream<Item = Bytes> + Send {
    let body = match response {
        Some(Ok(response)) => Some(response.into_body()),
        Some(Err(error)) => {
            failures.note(name, &error.to_string());
            None
        }
        None => None,
    };
    stream::unfold((body, page, failures), move |(body, mut page, failures)| async move {
        let mut body: Incoming = body?;
        loop {
            match timeout(PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    let Some(lines) = page.feed(&piece) else {
                        failures.note(name, "a line has no end");
                        return None;
                    };
                    return Some((lines.into(), (Some(body), page, failures)));
                }
                Ok(None) => return Some((page.finish().into(), (None, Page::of_others(), failures))),
                Ok(Some(Err(error))) => failures.note(name, &error.to_string()),
                Err(_) => failures.note(name, "it stopped in the middle"),
            }
            return None;
        }
    })
}
