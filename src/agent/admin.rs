//! Envoy's admin port, as far as the agent needs it.

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::http::{HttpError, connect, send, text, within};

/// Speaks to one Envoy's admin port.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyAdmin {
    address: SocketAddr,
}

/// How far Envoy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvoyState {
    /// It serves.
    Live,
    /// It runs, but something is missing.
    Waiting(&'static str),
}

/// For everything but a scrape.
const TIME_OUT: Duration = Duration::from_secs(2);
/// Longer than any page that is asked for here.
const PAGE: usize = 1 << 20;
/// The statistics of which readiness is made.
const READINESS: &str =
    "/stats?filter=^(server\\.state|listener_manager\\.(lds\\.update_success|workers_started)|cluster_manager\\.cds\\.update_success)$";

// === impl EnvoyAdmin ===

impl EnvoyAdmin {
    /// The admin port on this machine.
    pub fn new(port: u16) -> Self {
        Self { address: ([127, 0, 0, 1], port).into() }
    }

    /// Whether Envoy serves with pilot's configuration.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn state(&self) -> Result<EnvoyState, HttpError> {
        Ok(state(&statistics(&self.page(Method::GET, READINESS).await?)))
    }

    /// Downstream connections that are open, those of the admin port and of the static listeners left out.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn active_connections(&self) -> Result<u64, HttpError> {
        Ok(active(&statistics(&self.page(Method::GET, "/stats?filter=^listener\\..*\\.downstream_cx_active$").await?)))
    }

    /// Asks clients to go elsewhere: HTTP/1.1 answers close their connections, HTTP/2 gets GOAWAY. Listeners stay open.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn drain_listeners(&self) -> Result<(), HttpError> {
        self.page(Method::POST, "/drain_listeners?graceful&skip_exit").await.map(drop)
    }

    /// Envoy's metrics page, to be read piece by piece.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn metrics(&self, query: Option<&str>) -> Result<Response<Incoming>, HttpError> {
        let path = query.map_or("/stats/prometheus".to_owned(), |query| format!("/stats/prometheus?{query}"));
        within(Duration::from_secs(10), self.ask(Method::GET, &path)).await
    }

    async fn page(&self, method: Method, path: &str) -> Result<String, HttpError> {
        within(TIME_OUT, async { text(self.ask(method, path).await?, PAGE).await }).await
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response<Incoming>, HttpError> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
        let response = send(connect(self.address).await?, request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(HttpError::Status { path: path.to_owned(), status: response.status() })
    }
}

/// `name: number` lines.
fn statistics(page: &str) -> BTreeMap<&str, u64> {
    page.lines().filter_map(|line| line.rsplit_once(": ")).filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

fn state(statistics: &BTreeMap<&str, u64>) -> EnvoyState {
    let number = |name: &str| statistics.get(name).copied();
    if number("cluster_manager.cds.update_success").unwrap_or(0) == 0 {
        return EnvoyState::Waiting("no clusters from pilot");
    }
    if number("listener_manager.lds.update_success").unwrap_or(0) == 0 {
        return EnvoyState::Waiting("no listeners from pilot");
    }
    if number("listener_manager.workers_started") != Some(1) {
        return EnvoyState::Waiting("envoy has not started its workers");
    }
    // 0 is LIVE; the others are draining and initialising.
    if number("server.state") == Some(0) { EnvoyState::Live } else { EnvoyState::Waiting("envoy is not live") }
}

fn active(statistics: &BTreeMap<&str, u64>) -> u64 {
    let own = |name: &str| ["listener.admin.", "listener.metrics.", "listener.health."].iter().any(|prefix| name.starts_with(prefix));
    let per_worker = |name: &str| name.contains(".worker_") || name.contains(".main_thread.");
    statistics.iter().filter(|(name, _)| !own(name) && !per_worker(name)).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "cluster_manager.cds.update_success: 2\nlistener_manager.lds.update_success: 1\n\
                         listener_manager.workers_started: 1\nserver.state: 0\n";

    #[test]
    fn envoy_is_live_once_it_has_clusters_listeners_and_workers() {
        assert_eq!(state(&statistics(READY)), EnvoyState::Live);
        for (missing, why) in [
            ("cluster_manager.cds.update_success: 2\n", "no clusters from pilot"),
            ("listener_manager.lds.update_success: 1\n", "no listeners from pilot"),
            ("listener_manager.workers_started: 1\n", "envoy has not started its workers"),
            ("server.state: 0\n", "envoy is not live"),
        ] {
            assert_eq!(state(&statistics(&READY.replace(missing, ""))), EnvoyState::Waiting(why));
        }
        assert_eq!(state(&statistics(&READY.replace("state: 0", "state: 1"))), EnvoyState::Waiting("envoy is not live"));
    }

    #[test]
    fn open_connections_are_those_of_the_workloads() {
        let page = "listener.0.0.0.0_15006.downstream_cx_active: 2\nlistener.0.0.0.0_15006.worker_0.downstream_cx_active: 2\n\
                    listener.admin.downstream_cx_active: 1\nlistener.health.downstream_cx_active: 1\n\
                    listener.0.0.0.0_15001.downstream_cx_active: 1\n";
        assert_eq!(active(&statistics(page)), 3);
    }
}
