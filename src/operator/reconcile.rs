//! The leading operator's loop: a watch tells of a change, a pass compares everything with the plan and writes what differs.

use ferromesh_crds::{
    MeshInstall,
    install::{Mode, State},
};
use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use std::{collections::BTreeMap, convert::Infallible, time::Duration};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::{
    OperatorConfig,
    family::{Family, Member},
    install::{Install, InstallError, Installed, Wish},
    live::Seen,
    meshes::{MeshSource, Meshes},
    metrics::Metrics,
    plan::MANAGER,
    proxies::{self, AllWanted, ProxyLink},
    report::Reporter,
    settings::Revision,
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
    /// How pods of each MeshInstall's control planes should be, by its uid.
    wanted: BTreeMap<String, AllWanted>,
    /// MeshInstalls that can't be brought about at present, by their uids; under none what there is to do without one.
    troubles: BTreeMap<String, Trouble>,
    /// When to look again although nothing has happened.
    due: Instant,
}

/// A MeshInstall whose passes fail.
struct Trouble {
    since: Instant,
    /// Why the last one did.
    failure: String,
    backoff: Backoff,
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
            wanted: BTreeMap::new(),
            troubles: BTreeMap::new(),
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

    /// Looks at everything once. What is wrong with one MeshInstall is no harm to the others.
    async fn pass(&mut self, meshes: &Meshes, term: &Term) {
        self.metrics.passes.inc();
        self.due = Instant::now() + INTERVAL;
        let now = OffsetDateTime::now_utc();
        let family = Family::of(meshes, &self.config.images);
        // Before all webhook configurations are known it can't be told whose they are.
        let known = self.install.unknown_webhooks().is_none();
        if known {
            self.reporter.tell_of(self.install.foreign_mesh().as_ref());
        }
        for (other, first) in family.rivals.iter().filter(|_| known) {
            let revision = Revision::of(&other.spec);
            let message = format!("MeshInstall {first} is revision {} of this cluster: delete one of the two", revision.name());
            self.reporter.report(other, Outcome::Stalled(Reason::AnotherInstalled, message, None), self.tag(), term).await;
        }
        self.install.meet(&family);
        self.reporter.keep(|uid| meshes.values().any(|mesh| mesh.metadata.uid.as_deref() == Some(uid)));
        let is_member = |uid: &String| family.members.iter().any(|member| member.uid() == uid);
        self.wanted.retain(|uid, _| is_member(uid));
        self.troubles.retain(|uid, _| uid.is_empty() || is_member(uid));
        let mut healthy = !family.members.is_empty();
        for member in &family.members {
            healthy &= self.member(member, now, term).await;
        }
        if family.members.is_empty() {
            let result = self.install.leave(now).await;
            self.settle("", result.err());
        }
        self.metrics.healthy.set(i64::from(healthy));
        let wanted = self.wanted.values().flatten();
        self.proxies.want(wanted.map(|(name, wanted)| (name.clone(), wanted.clone())).collect());
    }

    /// Looks at one MeshInstall; whether it is healthy.
    async fn member(&mut self, member: &Member, now: OffsetDateTime, term: &Term) -> bool {
        let mesh = &member.mesh;
        if let Some(unknown) = self.install.unknown_webhooks() {
            let kept = self.install.keep(member.uid(), now).await;
            self.settle(member.uid(), Some(kept.err().unwrap_or(unknown)));
            return false;
        }
        let settings = match &member.settings {
            Ok(settings) => settings,
            Err(problems) => return self.stall(mesh, Reason::InvalidSpec, problems.to_string(), now, term).await,
        };
        // What is there already is kept: somebody else must not end that by coming later.
        if let Some(foreign) = self.install.foreign_mesh().filter(|_| !self.install.has_begun(mesh)) {
            let message = format!("{foreign} belongs to another Istio: remove that first; nothing of it has been touched");
            return self.stall(mesh, Reason::ForeignMesh, message, now, term).await;
        }
        let tallies = self.proxies.found.borrow_and_update().clone();
        let wish = Wish { mesh, settings, share: member.share.as_ref(), tags: &member.tags, tallies: &tallies };
        match mesh.spec.mode() {
            Mode::Plan => self.preview(wish, now, term).await,
            Mode::Apply => self.bring_about(wish, now, term).await,
        }
    }

    /// Leaves everything as it is but for certificates and who trusts them, and says why, and how the parts are meanwhile.
    async fn stall(&mut self, mesh: &MeshInstall, reason: Reason, message: String, now: OffsetDateTime, term: &Term) -> bool {
        let parts = self.install.remembered_parts(mesh).await;
        let (parts, unseen) = parts.map_or_else(|failure| (None, Some(failure)), |parts| (parts, None));
        self.reporter.report(mesh, Outcome::Stalled(reason, message, parts), self.tag(), term).await;
        let uid = mesh.uid().unwrap_or_default();
        let result = self.install.hold(&uid, now).await;
        self.settle(&uid, result.err().or(unseen));
        false
    }

    /// Leaves everything as it is, and says what would be changed.
    async fn preview(&mut self, wish: Wish<'_>, now: OffsetDateTime, term: &Term) -> bool {
        self.wanted.remove(wish.uid());
        match self.install.preview(wish, now).await {
            Ok(preview) => {
                let mut state = wish.mesh.status.as_ref().and_then(|status| status.state);
                if let Some((preview, parts)) = preview {
                    state = self.reporter.report(wish.mesh, Outcome::Previewed(preview, parts), self.tag(), term).await;
                }
                self.settle(wish.uid(), None);
                state == Some(State::Healthy)
            }
            Err(failure) => self.fail(wish.mesh, self.tag(), failure, now, term).await,
        }
    }

    async fn bring_about(&mut self, wish: Wish<'_>, now: OffsetDateTime, term: &Term) -> bool {
        let mesh = wish.mesh;
        let (changes, result) = self.install.run(wish, now, term).await;
        self.count(&changes);
        self.reporter.tell(mesh, &changes).await;
        match result {
            Ok(installed) => self.installed(mesh, installed, term).await,
            Err(failure) => self.fail(mesh, &wish.settings.images.tag, failure, now, term).await,
        }
    }

    /// Says what a pass came to.
    async fn installed(&mut self, mesh: &MeshInstall, installed: Installed, term: &Term) -> bool {
        let Installed { mut applied, version, proxies, again, hindrance } = installed;
        let uid = mesh.uid().unwrap_or_default();
        self.wanted.insert(uid.clone(), proxies);
        applied.hindrance = hindrance.as_ref().map(|it| (it.stalls().unwrap_or(Reason::ApplyFailed), it.to_string()));
        let state = match &hindrance {
            Some(hindrance) if hindrance.stalls().is_none() && !self.lasts(&uid) => {
                self.wait(mesh, &version, None, term).await;
                None
            }
            _ => self.reporter.report(mesh, Outcome::Applied(Box::new(applied)), &version, term).await,
        };
        self.settle(&uid, hindrance.filter(|hindrance| !hindrance.is_watched()));
        if let Some(again) = again {
            self.due = self.due.min(Instant::now() + again);
        }
        state == Some(State::Healthy)
    }

    /// Says that a pass didn't go through.
    async fn fail(&mut self, mesh: &MeshInstall, version: &str, failure: InstallError, now: OffsetDateTime, term: &Term) -> bool {
        let uid = mesh.uid().unwrap_or_default();
        if let (InstallError::Version { .. } | InstallError::PilotGone { .. }, Some(reason)) = (&failure, failure.stalls()) {
            return self.stall(mesh, reason, failure.to_string(), now, term).await;
        }
        match failure.stalls() {
            Some(reason) => _ = self.reporter.report(mesh, Outcome::Stalled(reason, failure.to_string(), None), version, term).await,
            None => {
                let told = self.lasts(&uid).then(|| failure.to_string());
                self.wait(mesh, version, told, term).await;
            }
        }
        self.settle(&uid, Some(failure).filter(|failure| !failure.is_watched()));
        false
    }

    /// Whether passes over a MeshInstall have been failing for long enough to be told.
    fn lasts(&self, uid: &str) -> bool {
        self.troubles.get(uid).is_some_and(|trouble| trouble.since.elapsed() >= LASTING)
    }

    /// Says that nothing is known yet, if nothing has been said of this spec, or what has been wrong for long.
    async fn wait(&mut self, mesh: &MeshInstall, version: &str, told: Option<String>, term: &Term) {
        if told.is_some() || mesh.status.as_ref().and_then(|status| status.observed_generation) != mesh.metadata.generation {
            self.reporter.report(mesh, Outcome::Waiting(told), version, term).await;
        }
    }

    /// Decides when to look again at the MeshInstall of that uid.
    fn settle(&mut self, uid: &str, failure: Option<InstallError>) {
        let wait = match failure {
            Some(failure) => self.trouble(uid, failure.to_string()),
            None => {
                self.troubles.remove(uid);
                self.install.certificates_due(OffsetDateTime::now_utc()).unwrap_or(INTERVAL)
            }
        };
        self.due = self.due.min(Instant::now() + wait);
    }

    /// Notes a failure; how long to wait before the next try.
    fn trouble(&mut self, uid: &str, failure: String) -> Duration {
        self.metrics.failures.inc();
        let trouble = self.troubles.entry(uid.to_owned()).or_insert_with(|| Trouble {
            since: Instant::now(),
            failure: String::new(),
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(4)),
        });
        // Once each: a failure that lasts is met every few seconds.
        if trouble.failure != failure && trouble.since.elapsed() > Duration::from_secs(1) {
            tracing::warn!(failure, "the mesh can't be brought to its plan; it is tried again");
        }
        trouble.failure = failure;
        trouble.backoff.next_delay()
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
