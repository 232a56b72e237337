//! The leading operator's loop: a watch tells of a change, a pass compares everything with the plan and writes what differs.

use ferromesh_crds::{
    MeshInstall,
    install::{Mode, State},
};
use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::{convert::Infallible, time::Duration};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::{
    OperatorConfig,
    apply::ApplyError,
    install::{Install, InstallError, Installed},
    live::Seen,
    meshes::{MeshSource, Meshes, installed},
    metrics::Metrics,
    plan::MANAGER,
    proxies::{self, ProxyLink},
    report::Reporter,
    settings::{Settings, resolve},
    status::{Outcome, Reason},
    watch::Changes,
};
use crate::runtime::{Backoff, EventPublisher, Leadership, Shutdown, Term};

/// Keeps the mesh as its MeshInstall describes it, while this operator leads.
pub(super) struct Reconciler {
    client: Client,
    config: OperatorConfig,
    meshes: MeshSource,
    metrics: Metrics,
}

/// One term of leading.
struct Work<'a> {
    config: &'a OperatorConfig,
    install: Install,
    reporter: Reporter,
    /// What is found of the mesh's proxies, and what is to be looked for.
    proxies: ProxyLink,
    metrics: &'a Metrics,
    backoff: Backoff,
    /// Since when passes have failed, and why the last one did.
    failing: Option<(Instant, String)>,
    /// When to look again although nothing has happened.
    due: Instant,
}

/// The longest time between two passes. Watches tell of every change; this is for what no watch tells.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long passes fail until the status tells of it: what passes by itself isn't worth a word.
const LASTING: Duration = Duration::from_secs(3);

// === impl Reconciler ===

impl Reconciler {
    pub(super) fn new(client: Client, config: OperatorConfig, meshes: MeshSource, metrics: Metrics) -> Self {
        Self { client, config, meshes, metrics }
    }

    /// Works whenever this operator leads, until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, mut leadership: Leadership, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let term = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                term = leadership.acquired() => term,
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = term.lost() => {}
                () = self.lead(&term) => {}
            }
        }
    }

    async fn lead(&mut self, term: &Term) {
        let (proxies, link) = proxies::link(self.client.clone(), &self.config.pod, self.metrics.clone());
        tokio::select! {
            () = proxies.run(term) => {}
            () = self.work(term, link) => {}
        }
    }

    async fn work(&mut self, term: &Term, proxies: ProxyLink) {
        let mut work = Work::new(&self.client, &self.config, proxies, &self.metrics);
        loop {
            let Work { install, due, proxies, .. } = &mut work;
            let (cluster, namespace) = install.changes();
            let worth_a_pass = tokio::select! {
                Some(seen) = cluster.next() => work.note(seen),
                Some(seen) = next(namespace) => work.note(seen),
                Ok(()) = self.meshes.changed() => true,
                Ok(()) = proxies.found.changed() => true,
                () = sleep_until(*due) => true,
            };
            // What is at hand already is taken in before anything is written.
            let worth_a_pass = work.drain() || worth_a_pass;
            if !worth_a_pass {
                continue;
            }
            let meshes = self.meshes.borrow_and_update().clone();
            if let Some(meshes) = meshes {
                let began = Instant::now();
                work.pass(&meshes, term).await;
                self.metrics.pass_time.observe(began.elapsed().as_secs_f64());
            }
        }
    }
}

async fn next(changes: Option<&mut Changes>) -> Option<Seen> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

// === impl Work ===

impl<'a> Work<'a> {
    fn new(client: &Client, config: &'a OperatorConfig, proxies: ProxyLink, metrics: &'a Metrics) -> Self {
        Self {
            config,
            install: Install::new(client, config),
            reporter: Reporter::new(client.clone(), EventPublisher::new(client.clone(), MANAGER, &config.pod, "Reconcile")),
            proxies,
            metrics,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(4)),
            failing: None,
            due: Instant::now(),
        }
    }

    fn note(&mut self, seen: Seen) -> bool {
        self.install.note(seen)
    }

    fn drain(&mut self) -> bool {
        let mut worth_a_pass = false;
        loop {
            let (cluster, namespace) = self.install.changes();
            let seen = cluster.next().now_or_never().flatten();
            let Some(seen) = seen.or_else(|| namespace.and_then(|changes| changes.next().now_or_never().flatten())) else {
                return worth_a_pass;
            };
            worth_a_pass |= self.note(seen);
        }
    }

    /// Looks at everything once.
    async fn pass(&mut self, meshes: &Meshes, term: &Term) {
        self.metrics.passes.inc();
        let now = OffsetDateTime::now_utc();
        let mesh = installed(meshes);
        for other in meshes.values().filter(|other| Some(*other) != mesh) {
            let first = mesh.and_then(|mesh| mesh.metadata.name.as_deref()).unwrap_or_default();
            let message = format!("MeshInstall {first} is the default revision of this cluster: delete one of the two");
            self.reporter.report(other, Outcome::Stalled(Reason::AnotherInstalled, message), self.tag(), term).await;
        }
        // One that is being deleted is left to the garbage collector.
        let Some(mesh) = mesh.filter(|mesh| mesh.metadata.deletion_timestamp.is_none()) else {
            self.metrics.healthy.set(0);
            self.proxies.want(None);
            let result = self.install.leave(now).await;
            return self.settle(result.err());
        };
        let settings = match resolve(&mesh.spec, &self.config.images) {
            Ok(settings) => settings,
            Err(problems) => return self.stall(mesh, Reason::InvalidSpec, problems.to_string(), now, term).await,
        };
        if let Some(unknown) = self.install.unknown_webhooks() {
            return self.settle(Some(unknown));
        }
        if let Some(foreign) = self.install.foreign_mesh() {
            let message = format!("{foreign} belongs to another Istio: remove that first; nothing of it has been touched");
            return self.stall(mesh, Reason::ForeignMesh, message, now, term).await;
        }
        match mesh.spec.mode() {
            Mode::Plan => self.preview(mesh, &settings, now, term).await,
            Mode::Apply => self.bring_about(mesh, &settings, now, term).await,
        }
    }

    /// Leaves everything as it is, and says why.
    async fn stall(&mut self, mesh: &MeshInstall, reason: Reason, message: String, now: OffsetDateTime, term: &Term) {
        self.reporter.report(mesh, Outcome::Stalled(reason, message), self.tag(), term).await;
        let result = self.install.hold(mesh, now).await;
        self.settle(result.err());
    }

    /// Leaves everything as it is, and says what would be changed.
    async fn preview(&mut self, mesh: &MeshInstall, settings: &Settings, now: OffsetDateTime, term: &Term) {
        self.proxies.want(None);
        match self.install.preview(mesh, settings, now).await {
            Ok(preview) => {
                if let Some(preview) = preview {
                    self.reporter.report(mesh, Outcome::Previewed(preview), self.tag(), term).await;
                }
                self.settle(None);
            }
            Err(failure) => self.fail(mesh, self.tag(), failure, term).await,
        }
    }

    async fn bring_about(&mut self, mesh: &MeshInstall, settings: &Settings, now: OffsetDateTime, term: &Term) {
        let version = &settings.images.tag;
        let (changes, result) = self.install.run(mesh, settings, now, term).await;
        self.count(&changes);
        self.reporter.tell(mesh, &changes).await;
        match result {
            Ok(Installed { mut applied, again }) => {
                self.proxies.want(self.install.wanted_proxies(settings));
                if let Some(injection) = &mut applied.injection {
                    injection.proxies = self.proxies.found.borrow_and_update().clone();
                }
                let state = self.reporter.report(mesh, Outcome::Applied(applied), version, term).await;
                self.metrics.healthy.set(i64::from(state == Some(State::Healthy)));
                self.settle(None);
                if let Some(again) = again {
                    self.due = self.due.min(Instant::now() + again);
                }
            }
            Err(failure) => self.fail(mesh, version, failure, term).await,
        }
    }

    /// Says that a pass didn't go through, once that has lasted or nothing is known of this spec yet.
    async fn fail(&mut self, mesh: &MeshInstall, version: &str, failure: InstallError, term: &Term) {
        if let InstallError::Apply(ApplyError::Foreign(foreign)) = &failure {
            let stalled = Outcome::Stalled(Reason::ForeignObject, foreign.to_string());
            self.reporter.report(mesh, stalled, version, term).await;
            // Nobody watches what isn't the operator's: it is looked at again soon.
            return self.settle(Some(failure));
        }
        let lasting = self.failing.as_ref().is_some_and(|(since, _)| since.elapsed() >= LASTING);
        let told = lasting.then(|| failure.to_string());
        if lasting || mesh.status.as_ref().and_then(|status| status.observed_generation) != mesh.metadata.generation {
            self.reporter.report(mesh, Outcome::Waiting(told), version, term).await;
        }
        self.settle(Some(failure));
    }

    /// Decides when to look again.
    fn settle(&mut self, failure: Option<InstallError>) {
        let wait = match failure {
            Some(failure) => {
                self.metrics.failures.inc();
                let failure = failure.to_string();
                let (since, before) = self.failing.take().map_or_else(|| (Instant::now(), None), |(since, before)| (since, Some(before)));
                // Once each: a failure that lasts is met every few seconds.
                if before.as_ref() != Some(&failure) && since.elapsed() > Duration::from_secs(1) {
                    tracing::warn!(failure, "the mesh can't be brought to its plan; it is tried again");
                }
                self.failing = Some((since, failure));
                self.backoff.next_delay()
            }
            None => {
                self.failing = None;
                self.backoff.reset();
                self.install.certificates_due(OffsetDateTime::now_utc()).map_or(INTERVAL, |due| due.min(INTERVAL))
            }
        };
        self.due = Instant::now() + wait;
    }

    fn count(&self, changes: &super::apply::Changes) {
        let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        self.metrics.applied.inc_by(count(changes.applied.len()));
        self.metrics.repaired.inc_by(count(changes.repaired.len()));
        self.metrics.pruned.inc_by(count(changes.pruned.len()));
    }

    fn tag(&self) -> &'a str {
        &self.config.images.tag
    }
}

/// The present second, as the API server writes it.
pub(super) fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
