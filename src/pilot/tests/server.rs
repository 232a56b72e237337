//! A pilot on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use futures::StreamExt;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt;

use super::client::SERVER;
use crate::compile::{Compiled, Resource};
use crate::index::{NeededSecrets, SnapshotSource};
use crate::model::{Changes, Snapshot, SpiffeId};
use crate::pilot::{
    connections::Connections,
    debug,
    hub::{Hub, Update},
    metrics::Metrics,
    problems::Problems,
    serve::{self, Server},
    serve_with,
};
use crate::runtime::{
    CertificateSource, Limits, Listener, Peer, Readiness, Registry, Security, Shutdown, TaskError, Tasks, Trigger, encode_metrics,
};
use crate::testing::{TestCa, eventually};

/// A running server.
pub(super) struct Pilot {
    pub(super) ca: TestCa,
    pub(super) address: SocketAddr,
    pub(super) readiness: Readiness,
    registry: Registry,
    debug: Router,
    stop: Trigger,
    task: JoinHandle<Result<(), TaskError>>,
}

/// What every proxy of a scripted pilot gets.
pub(super) struct Script {
    publish: watch::Sender<Option<Update>>,
    version: u64,
}

// === impl Script ===

impl Script {
    /// From now on all get these.
    pub(super) fn publish(&mut self, resources: &[Arc<Resource>]) {
        self.version += 1;
        let compiled = Compiled::made_of(resources);
        self.publish.send_replace(Some(Update { compiled, version: self.version, taken: tokio::time::Instant::now(), question: None }));
    }
}

// === impl Pilot ===

impl Pilot {
    /// A pilot whose mesh is what `snapshots` gives.
    pub(super) async fn of(snapshots: impl futures::Stream<Item = (Arc<Snapshot>, Changes)> + Send + 'static) -> Self {
        Self::telling(Problems::new(), snapshots).await
    }

    /// The same, which tells of objects at fault.
    pub(super) async fn telling(
        problems: Problems,
        snapshots: impl futures::Stream<Item = (Arc<Snapshot>, Changes)> + Send + 'static,
    ) -> Self {
        Self::start(TestCa::new("root"), ([127, 0, 0, 1], 0).into(), |certificate, listener, tasks, readiness, registry| {
            let told = (Connections::registered(Metrics::registered(registry), registry), problems);
            let snapshots = snapshots.chain(futures::stream::pending());
            serve_with(certificate, snapshots, NeededSecrets::default(), listener, tasks, readiness, told)
        })
        .await
    }

    /// A pilot whose mesh is what an index tells, which tells of objects at fault.
    pub(super) async fn of_index(source: SnapshotSource, problems: Problems) -> Self {
        Self::of_index_at((TestCa::new("root"), ([127, 0, 0, 1], 0).into()), source, problems).await
    }

    /// The same in the place of another one.
    pub(super) async fn of_index_at((ca, address): (TestCa, SocketAddr), source: SnapshotSource, problems: Problems) -> Self {
        let needed = source.needed_secrets();
        Self::start(ca, address, |certificate, listener, tasks, readiness, registry| {
            let told = (Connections::registered(Metrics::registered(registry), registry), problems);
            serve_with(certificate, source.into_stream(), needed, listener, tasks, readiness, told)
        })
        .await
    }

    /// A pilot that compiles nothing, but tells every proxy what the script says.
    pub(super) async fn scripted(resources: &[Arc<Resource>]) -> (Self, Script) {
        Self::scripted_at(TestCa::new("root"), ([127, 0, 0, 1], 0).into(), resources).await
    }

    /// Ends, and starts another one in its place.
    pub(super) async fn replaced(self, resources: &[Arc<Resource>]) -> (Self, Script) {
        let (ca, address) = self.left().await;
        Self::scripted_at(ca, address, resources).await
    }

    /// Ends, and leaves its place to another one.
    pub(super) async fn left(self) -> (TestCa, SocketAddr) {
        self.stop();
        self.task.await.unwrap().unwrap();
        (self.ca, self.address)
    }

    async fn scripted_at(ca: TestCa, address: SocketAddr, resources: &[Arc<Resource>]) -> (Self, Script) {
        let (publish, updates) = watch::channel(None);
        let mut script = Script { publish, version: 0 };
        script.publish(resources);
        let pilot = Self::start(ca, address, |certificate, listener, tasks, _, registry| {
            let (metrics, shutdown) = (Metrics::registered(registry), tasks.shutdown());
            let connections = Connections::registered(metrics.clone(), registry);
            let server = Server::new(Hub::scripted(updates), connections.clone(), metrics, shutdown.clone());
            tasks.spawn("xds", listener.serve(serve::routes(server), Security::Mutual(certificate), Limits::default(), shutdown));
            debug::routes(connections)
        })
        .await;
        (pilot, script)
    }

    async fn start(
        ca: TestCa,
        address: SocketAddr,
        start: impl FnOnce(CertificateSource, Listener, &mut Tasks, &Readiness, &mut Registry) -> Router,
    ) -> Self {
        let identity = SpiffeId::new("cluster.local", "istio-system", "istio-pilot");
        let (_, certificate) = watch::channel(Some(ca.workload(&identity, &[SERVER])));
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let listener = Listener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let debug = start(certificate, listener, &mut tasks, &readiness, &mut registry);
        let (stop, stopped) = Shutdown::channel();
        let signal = Box::pin(futures::stream::once(async move {
            stopped.requested().await;
            "SIGTERM"
        }));
        let task = tokio::spawn(tasks.run(signal.chain(futures::stream::pending()), Duration::from_secs(10)));
        Self { ca, address, readiness, registry, debug, stop, task }
    }

    /// Waits until it may be asked.
    pub(super) async fn ready(&self) {
        eventually("pilot is ready", || self.readiness.is_ready()).await;
    }

    /// Asks for the end.
    pub(super) fn stop(&self) {
        self.stop.request();
    }

    /// Waits for the end.
    pub(super) async fn ended(self) {
        self.task.await.unwrap().unwrap();
    }

    /// Whether `/metrics` has that line.
    pub(super) fn metric(&self, line: &str) -> bool {
        encode_metrics(&self.registry).lines().any(|shown| shown == line)
    }

    /// What `/metrics` has for that series.
    pub(super) fn number(&self, series: &str) -> u64 {
        let shown = encode_metrics(&self.registry);
        let value = shown.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in {shown}"))
    }

    /// A debug page, asked for from that address.
    pub(super) async fn debug_from(&self, address: &str, path: &str) -> (StatusCode, Value) {
        let mut request = http::Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer { address: Some(address.parse().unwrap()), identity: None });
        let response = self.debug.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A debug page that is there.
    pub(super) async fn debug(&self, path: &str) -> Value {
        let (status, page) = self.debug_from("127.0.0.1:5", path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        page
    }
}
