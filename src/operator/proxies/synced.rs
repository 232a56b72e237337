//! Whether proxies have what their pilots tell them: pilots count that, and are asked for their metrics pod by pod, past the API server.

use futures::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::time::timeout;

use super::{AllWanted, Wanted};

/// Of the proxies that are connected to a control plane, gateways included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::operator) struct Synced {
    /// Those that have all that they were told, or are about to.
    pub(in crate::operator) synced: usize,
    /// Those that refuse something, or don't answer.
    pub(in crate::operator) stale: usize,
}

/// Asks pilots.
#[derive(Debug)]
pub(super) struct Asker {
    client: Client<HttpConnector, Empty<Bytes>>,
    /// What they last said, by the control plane; none of those that can't be asked.
    pub(super) known: BTreeMap<String, Synced>,
}

/// Between two questions.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The longest that an answer takes.
const ANSWER: Duration = Duration::from_secs(2);
/// The longest page of metrics, in bytes.
const PAGE: usize = 1 << 20;
/// How pilots call the number of their proxies, and of those that are stale.
const CONNECTED: &str = "pilot_xds";
const STALE: &str = "pilot_xds_stale";

// === impl Asker ===

impl Asker {
    pub(super) fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), known: BTreeMap::new() }
    }

    /// Asks all pilots; whether they say something else than before.
    pub(super) async fn ask(&mut self, wanted: &AllWanted) -> bool {
        let planes = wanted.iter().map(async |(name, wanted)| Some((name.clone(), self.plane(wanted).await?)));
        let known: BTreeMap<_, _> = join_all(planes).await.into_iter().flatten().collect();
        let differs = known != self.known;
        self.known = known;
        differs
    }

    /// The sum of a control plane's pilots; none without any, or if one doesn't answer.
    async fn plane(&self, wanted: &Wanted) -> Option<Synced> {
        if wanted.pilots.is_empty() {
            return None;
        }
        let told = join_all(wanted.pilots.iter().map(|pilot| self.pilot(*pilot))).await;
        let told: Option<Vec<Synced>> = told.into_iter().collect();
        Some(told?.into_iter().fold(Synced::default(), |sum, one| Synced { synced: sum.synced + one.synced, stale: sum.stale + one.stale }))
    }

    async fn pilot(&self, address: SocketAddr) -> Option<Synced> {
        let page = async {
            let uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/metrics").build().ok()?;
            let response = self.client.get(uri).await.ok()?;
            let body = Limited::new(response.into_body(), PAGE).collect().await.ok()?.to_bytes();
            String::from_utf8(body.into()).ok()
        };
        let page = timeout(ANSWER, page).await.ok()??;
        let number = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<usize>().ok());
        // A pilot of a version that doesn't count the one is not asked for the other.
        let (connected, stale) = (number(CONNECTED)?, number(STALE)?);
        Some(Synced { synced: connected.saturating_sub(stale), stale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};

    /// A pilot with that page of metrics.
    async fn pilot(page: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(async move || page))).await });
        address
    }

    fn wanted(planes: &[(&str, &[SocketAddr])]) -> AllWanted {
        let of = |(name, pilots): &(&str, &[SocketAddr])| ((*name).to_owned(), Wanted { pilots: pilots.to_vec(), ..Wanted::default() });
        planes.iter().map(of).collect()
    }

    #[tokio::test]
    async fn what_all_pilots_of_a_control_plane_count_is_summed_up() {
        let (one, two) =
            (pilot("# TYPE\npilot_xds 5\npilot_xds_pushes 7\npilot_xds_stale 2\n").await, pilot("pilot_xds_stale 0\npilot_xds 4\n").await);
        let (older, nobody) = (pilot("pilot_xds 3\n").await, "127.0.0.1:1".parse().unwrap());
        let mut asker = Asker::new();
        let all = wanted(&[("blue", &[one, two]), ("default", &[older]), ("green", &[]), ("red", &[one, nobody])]);
        assert!(asker.ask(&all).await && !asker.ask(&all).await);
        assert_eq!(asker.known, [("blue".to_owned(), Synced { synced: 7, stale: 2 })].into());
        assert!(asker.ask(&wanted(&[("blue", &[two])])).await);
        assert_eq!(asker.known["blue"], Synced { synced: 4, stale: 0 });
    }
}
