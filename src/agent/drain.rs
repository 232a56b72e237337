//! The last seconds of a proxy: clients are sent elsewhere, requests in flight finish.

use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::EnvoyAdmin;

/// How long a drain takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimes {
    /// At most: the ProxyConfig's terminationDrainDuration.
    pub longest: Duration,
    /// At least, unless `longest` is shorter: until every other proxy knows that this one is going, new connections come.
    pub shortest: Duration,
    /// How often open connections are counted after that.
    pub interval: Duration,
}

/// Every other proxy has been told by then.
const USUAL_SHORTEST: Duration = Duration::from_secs(5);
/// Longer than any pod's grace period.
const PATIENT: Duration = Duration::from_secs(24 * 3600);

// === impl DrainTimes ===

impl DrainTimes {
    /// The times of a proxy with this terminationDrainDuration and MINIMUM_DRAIN_DURATION. `exit_on_zero` is
    /// EXIT_ON_ZERO_ACTIVE_CONNECTIONS: false takes all of the former, true waits for the last connection as long as Kubernetes lets the
    /// pod live. Without it a drain ends with the last connection, and with that time at the latest.
    pub fn new(longest: Duration, shortest: Option<Duration>, exit_on_zero: Option<bool>) -> Self {
        let shortest = shortest.unwrap_or(USUAL_SHORTEST);
        let (longest, shortest) = match exit_on_zero {
            None => (longest, shortest),
            Some(false) => (longest, longest),
            Some(true) => (PATIENT, shortest),
        };
        Self { longest, shortest, interval: Duration::from_millis(500) }
    }
}

/// Drains Envoy: ends when nobody is connected any more, or when the time is up. An Envoy that does not answer has nothing to drain.
pub(super) async fn drain(admin: EnvoyAdmin, times: DrainTimes) {
    let started = Instant::now();
    if let Err(error) = admin.drain_listeners().await {
        return tracing::info!(%error, "no envoy to drain");
    }
    tracing::info!(longest = ?times.longest, "draining");
    sleep(times.shortest.min(times.longest)).await;
    while started.elapsed() < times.longest {
        match admin.active_connections().await {
            Ok(0) => return tracing::info!("no connection is left"),
            Ok(connections) => tracing::debug!(connections, "still connected"),
            Err(error) => return tracing::info!(%error, "envoy is gone"),
        }
        sleep(times.interval.min(times.longest.saturating_sub(started.elapsed()))).await;
    }
    tracing::info!("the drain's time is up");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Limits, Listener, Security, Shutdown};
    use axum::{
        Router,
        routing::{get, post},
    };
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    #[test]
    fn who_says_nothing_waits_for_the_last_connection_within_the_pods_time() {
        let (ten, one) = (Duration::from_secs(10), Duration::from_secs(1));
        let of = |shortest, exit_on_zero| {
            let times = DrainTimes::new(ten, shortest, exit_on_zero);
            (times.shortest, times.longest)
        };
        assert_eq!(of(None, None), (USUAL_SHORTEST, ten));
        assert_eq!(of(Some(one), None), (one, ten));
        assert_eq!(of(Some(one), Some(false)), (ten, ten));
        assert_eq!(of(Some(one), Some(true)), (one, PATIENT));
    }

    /// An admin port at which `connections` calls find somebody connected.
    async fn admin(connections: u32) -> (EnvoyAdmin, crate::runtime::Trigger, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let stats = async move || {
            let active = u32::from(counter.fetch_add(1, Ordering::Relaxed) < connections);
            format!("listener.0.0.0.0_15006.downstream_cx_active: {active}\n")
        };
        let router = Router::new().route("/stats", get(stats)).route("/drain_listeners", post(async || "OK\n"));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (trigger, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(router, Security::Plain, Limits::default(), shutdown));
        (EnvoyAdmin::new(port), trigger, asked)
    }

    const TIMES: DrainTimes =
        DrainTimes { longest: Duration::from_secs(60), shortest: Duration::from_millis(1), interval: Duration::from_millis(1) };

    #[tokio::test]
    async fn a_drain_ends_when_nobody_is_connected() {
        let (admin, _server, asked) = admin(3).await;
        drain(admin, TIMES).await;
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_drain_ends_when_its_time_is_up() {
        let (admin, _server, asked) = admin(u32::MAX).await;
        drain(admin, DrainTimes { longest: Duration::from_millis(50), ..TIMES }).await;
        assert!(asked.load(Ordering::Relaxed) > 0);
    }

    #[tokio::test]
    async fn without_an_envoy_there_is_nothing_to_wait_for() {
        let (_, server, _) = admin(0).await;
        drop(server);
        // Nobody listens at port 9 of loopback, or it does not speak HTTP.
        drain(EnvoyAdmin::new(9), TIMES).await;
    }
}
