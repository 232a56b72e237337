//! What a MeshInstall's status says, as a function of what was found. Only what is known is said.

mod reason;
#[cfg(test)]
mod tests;

pub(super) use reason::Reason;

use ferromesh_crds::install::{ComponentStatus, InventoryEntry, MeshInstallStatus, ProxyCounts, RevisionStatus, State};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::{collections::BTreeMap, sync::Arc};

use super::{health::Health, install::Preview, planned, proxies::Tally};

/// What a pass found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) generation: Option<i64>,
    /// That of the control plane that is asked.
    pub(super) version: String,
    /// What is to be told of another Istio in the cluster.
    pub(super) foreign: Option<String>,
    pub(super) outcome: Outcome,
}

/// How a pass ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Nothing was done, and nothing will be before somebody changes something; and so are the parts that there were, if they can be seen.
    Stalled(Reason, String, Option<Parts>),
    /// Nothing could be done; it is tried again. The second is what went wrong, once that has lasted.
    Waiting(Option<String>),
    /// The objects are as planned, but for what is named as a hindrance.
    Applied(Box<Applied>),
    /// Nothing was done; this would be, and so are the parts that are there.
    Previewed(Preview, Parts),
}

/// How the parts of a mesh are, each by its name in the status, with that of its Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub(super) components: BTreeMap<String, (String, Health)>,
    /// The mesh waits for none of them.
    pub(super) addons: BTreeMap<String, (String, Health)>,
}

/// What is known once the objects are as planned.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) parts: Parts,
    /// Whether the webhooks' certificates are there, or why not; none if nothing needs any.
    pub(super) certificates: Option<Result<(), String>>,
    /// Whether the API server is answered, or what is missing; none if there is no webhook.
    pub(super) webhooks: Option<Result<(), String>>,
    pub(super) inventory: Vec<InventoryEntry>,
    /// How the tags stand; none without any.
    pub(super) tags: Option<Tagging>,
    /// How pods become part of the mesh; none without an injector.
    pub(super) injection: Option<Injection>,
    /// The control planes.
    pub(super) planes: Vec<Plane>,
    /// How a change of version stands; none where there is nothing to tell.
    pub(super) upgrade: Option<Upgrade>,
    /// Why something is not as planned, and whether it stalls for that.
    pub(super) hindrance: Option<(Reason, String)>,
}

/// A control plane that stands.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) name: String,
    pub(super) version: String,
    /// How it stands; none for the one of which all else is told.
    pub(super) state: Option<State>,
    /// Whose proxies it has; none while that isn't known.
    pub(super) proxies: Option<Arc<Tally>>,
}

/// How a change of version stands.
#[derive(Clone, Debug)]
pub(super) struct Upgrade {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// Whether the version that is wanted doesn't serve yet.
    pub(super) waits: bool,
}

/// How the tags stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Tagging {
    /// The revision that each stands for.
    pub(super) standing: BTreeMap<String, String>,
    /// What keeps one from what it should.
    pub(super) problem: Option<String>,
}

/// How pods become part of the mesh.
#[derive(Clone, Debug, Default)]
pub(super) struct Injection {
    /// Whether they start without a sidecar while the injector is away.
    pub(super) lenient: bool,
    /// How the proxies are; none while that isn't known.
    pub(super) proxies: Option<Arc<Tally>>,
}

/// `Ready`'s share in a status.
struct Verdict {
    state: State,
    /// How the parts stand, whatever keeps the whole from being as planned.
    parts: State,
    reason: Reason,
    message: String,
}

/// Conditions of which a pass that only looks says nothing new.
const KEPT: [&str; 5] = ["CertificatesReady", "WebhooksReady", "TagsReady", "ProxiesInSync", "Upgraded"];
/// The condition that tells of another Istio beside a mesh that was there before it.
pub(super) const FOREIGN: &str = "ForeignMesh";
/// The components that each control plane has for itself.
const OF_A_PLANE: [&str; 3] = ["pilot", "galley", "injector"];
/// The longest message.
const LENGTH: usize = 300;

/// The status after a pass. `previous` is the one before it, whose times hold where nothing has changed.
pub(super) fn status(report: &Report, previous: &MeshInstallStatus, now: &Time) -> MeshInstallStatus {
    let verdict = verdict(report, previous);
    let mut conditions = Conditions { previous, generation: report.generation, now, list: Vec::new() };
    conditions.add("Ready", verdict.state == State::Healthy, verdict.reason, &verdict.message);
    match &report.outcome {
        Outcome::Stalled(..) => conditions.add("Stalled", true, verdict.reason, &verdict.message),
        Outcome::Applied(applied) if applied.stalls() => conditions.add("Stalled", true, verdict.reason, &verdict.message),
        Outcome::Previewed(..) => {}
        _ if verdict.state == State::Healthy => {}
        _ => conditions.add("Reconciling", true, verdict.reason, &verdict.message),
    }
    if let Some(foreign) = report.foreign.as_ref().filter(|_| verdict.reason != Reason::ForeignMesh) {
        conditions.add(FOREIGN, true, Reason::ForeignMesh, foreign);
    }
    let mut status = MeshInstallStatus {
        observed_generation: report.generation,
        state: Some(verdict.state),
        version: previous.version.clone(),
        components: previous.components.clone(),
        revisions: previous.revisions.clone(),
        proxies: previous.proxies.clone(),
        inventory: previous.inventory.clone(),
        tags: previous.tags.clone(),
        ..MeshInstallStatus::default()
    };
    match &report.outcome {
        Outcome::Applied(applied) => {
            conditions.result("CertificatesReady", applied.certificates.as_ref(), Reason::Issued, Reason::CertificatesMissing);
            conditions.result("WebhooksReady", applied.webhooks.as_ref(), Reason::Answering, Reason::NotAnswering);
            let tags = applied.tags.as_ref().map(|tags| tags.problem.clone().map_or(Ok(()), Err));
            conditions.result("TagsReady", tags.as_ref(), Reason::TagsInForce, Reason::TagsHeld);
            if let Some(upgrade) = &applied.upgrade {
                let done = matches!(upgrade.reason, Reason::Current | Reason::VersionPinned);
                conditions.add("Upgraded", done, upgrade.reason, &upgrade.message);
            }
            status.tags = applied.tags.as_ref().map(|tags| tags.standing.clone()).unwrap_or_default();
            match applied.injection.as_ref().map(|injection| &injection.proxies) {
                Some(Some(tally)) => {
                    conditions.proxies(tally);
                    status.proxies = Some(counts(tally));
                }
                // Nothing has been counted since this operator leads: what was is as good as anything.
                Some(None) => conditions.keep(&["ProxiesInSync"]),
                None => status.proxies = None,
            }
            status.version = Some(report.version.clone());
            // The control plane that is told of in full, which may be another than the one that is asked.
            let shown = applied.planes.iter().find(|plane| plane.state.is_none()).map_or(&report.version, |plane| &plane.version);
            let version = |name: &str| Some(if OF_A_PLANE.contains(&name) { shown } else { &report.version }.clone());
            status.components = components(&applied.parts, verdict.parts, version);
            status.revisions = applied.planes.iter().map(|plane| revision(plane, previous, verdict.parts)).collect();
            status.revisions.sort_by(|one, other| one.name.cmp(&other.name));
            status.inventory.clone_from(&applied.inventory);
        }
        Outcome::Previewed(preview, parts) => {
            conditions.keep(&KEPT);
            status.components = components(parts, verdict.parts, |name| previous.components.get(name)?.version.clone());
            status.plan = Some(planned::plan(preview, report.generation, previous.plan.as_ref(), now));
        }
        Outcome::Stalled(_, _, parts) => {
            conditions.keep(&KEPT);
            let seen = |parts| components(parts, verdict.parts, |name| previous.components.get(name)?.version.clone());
            status.components.extend(parts.as_ref().map(seen).unwrap_or_default());
        }
        Outcome::Waiting(_) => conditions.keep(&KEPT),
    }
    status.conditions = conditions.list;
    status
}

fn verdict(report: &Report, previous: &MeshInstallStatus) -> Verdict {
    // A mesh that was well and whose description hasn't changed is put right again; anything else is on its way to being well.
    let was_well = matches!(previous.state, Some(State::Healthy | State::Reconciling));
    let same = previous.observed_generation == report.generation && previous.version.as_ref() == Some(&report.version);
    let comes = matches!(&report.outcome, Outcome::Applied(applied) if applied.waits().is_some());
    let underway = if was_well && same && !comes { State::Reconciling } else { State::Updating };
    match &report.outcome {
        Outcome::Stalled(reason, message, parts) => {
            let amiss = parts.as_ref().map(amiss).unwrap_or_default();
            Verdict::of(State::Error, *reason, &format!("{message}{amiss}"))
        }
        Outcome::Waiting(Some(message)) => Verdict::of(State::Error, Reason::ApplyFailed, message),
        Outcome::Waiting(None) => Verdict::of(underway, Reason::Progressing, "objects are being written"),
        Outcome::Previewed(preview, parts) => {
            let (state, amiss) = standing(parts, previous, was_well);
            Verdict::of(state, Reason::Planned, &format!("{}{amiss}", planned::summary(preview)))
        }
        Outcome::Applied(applied) => {
            let parts = reached(&report.version, applied, underway);
            match &applied.hindrance {
                Some((reason, message)) => Verdict { parts: parts.state, ..Verdict::of(State::Error, *reason, message) },
                None => parts,
            }
        }
    }
}

/// What a pass that wrote all that it could has come to, by the parts.
fn reached(version: &str, applied: &Applied, underway: State) -> Verdict {
    let verdict = Verdict::of;
    let waits = applied.waits();
    let unready = || applied.parts.unready();
    let serves = waits.map(|_| format!("; version {version} serves on")).unwrap_or_default();
    let told = |(name, health): &(String, Health)| format!("{name}: {}{serves}", health.message);
    if let Some(failed) = unready().find(|(_, health)| health.state == State::Error) {
        return verdict(State::Error, Reason::ComponentFailed, &told(failed));
    }
    if let Some(Err(message)) = &applied.certificates {
        return verdict(underway, Reason::CertificatesMissing, message);
    }
    if let Some(waiting) = unready().next() {
        return verdict(underway, Reason::Progressing, &told(waiting));
    }
    if let Some(upgrade) = waits {
        return verdict(underway, upgrade.reason, &upgrade.message);
    }
    match &applied.webhooks {
        Some(Err(message)) => verdict(underway, Reason::NotAnswering, message),
        _ if applied.injection.as_ref().is_some_and(|injection| injection.lenient) => {
            let warning = "all components are ready; while the injector is away, pods start without a sidecar (failurePolicy Ignore)";
            verdict(State::Healthy, Reason::Healthy, warning)
        }
        _ if applied.upgrade.as_ref().is_some_and(|upgrade| upgrade.reason == Reason::VersionPinned) => {
            let pinned = applied.upgrade.as_ref().map_or("", |upgrade| &upgrade.message);
            verdict(State::Healthy, Reason::Healthy, &format!("all components are ready; {pinned}"))
        }
        _ => match applied.parts.addons.values().find(|(_, health)| health.state == State::Error) {
            Some(failed) => {
                verdict(State::Healthy, Reason::Healthy, &format!("all components are ready, but an add-on is not: {}", told(failed)))
            }
            None => verdict(State::Healthy, Reason::Healthy, "all components are ready"),
        },
    }
}

/// How what is there of a mesh stands that is only looked at, and a word on the first part that doesn't answer.
fn standing(parts: &Parts, previous: &MeshInstallStatus, was_well: bool) -> (State, String) {
    let failed = parts.unready().any(|(_, health)| health.state == State::Error);
    let waiting = parts.unready().next().is_some();
    let unanswered =
        |condition: &Condition| ["CertificatesReady", "WebhooksReady"].contains(&&*condition.type_) && condition.status != "True";
    let state = match () {
        () if previous.inventory.is_empty() => State::None,
        () if failed => State::Error,
        () if waiting && was_well => State::Reconciling,
        // It has never come up.
        () if waiting || parts.components.is_empty() && !was_well => State::Updating,
        () if previous.conditions.iter().any(unanswered) => State::Updating,
        () => State::Healthy,
    };
    (state, amiss(parts))
}

/// A word on the first part that doesn't answer.
fn amiss(parts: &Parts) -> String {
    let failed = parts.unready().find(|(_, health)| health.state == State::Error);
    let waiting = failed.or_else(|| parts.unready().next());
    waiting.map(|(name, health)| format!("; {name}: {}", health.message)).unwrap_or_default()
}

/// What is counted of proxies, and the same in short: how many have what they were told, of how many, and what else is amiss.
fn counts(tally: &Tally) -> ProxyCounts {
    let count = |count: usize| Some(i64::try_from(count).unwrap_or(i64::MAX));
    let amiss = [(tally.outdated, "outdated"), (tally.missed, "missed")].into_iter().filter(|(number, _)| *number > 0);
    let amiss: Vec<String> = amiss.map(|(number, how)| format!("{number} {how}")).collect();
    let brackets = if amiss.is_empty() { String::new() } else { format!(" ({})", amiss.join(", ")) };
    // Pilots know proxies outside of pods, too.
    let synced = tally.synced.map(|synced| format!("{}/", synced.synced.min(tally.proxies()))).unwrap_or_default();
    ProxyCounts {
        total: count(tally.proxies()),
        synced: tally.synced.and_then(|synced| count(synced.synced)),
        stale: tally.synced.and_then(|synced| count(synced.stale)),
        missed: count(tally.missed),
        outdated: count(tally.outdated),
        summary: Some(format!("{synced}{}{brackets}", tally.proxies())),
    }
}

/// A control plane. Who uses it stays as it was while nobody has looked.
fn revision(plane: &Plane, previous: &MeshInstallStatus, state: State) -> RevisionStatus {
    let Plane { name, version, .. } = plane;
    let before = previous.revisions.iter().find(|revision| revision.name == *name);
    let (in_use, proxies) = match &plane.proxies {
        Some(tally) => (Some(tally.chosen || tally.total + tally.leaving > 0), i64::try_from(tally.proxies()).ok()),
        None => (before.and_then(|before| before.in_use), before.and_then(|before| before.proxies)),
    };
    RevisionStatus { name: name.clone(), version: Some(version.clone()), state: Some(plane.state.unwrap_or(state)), in_use, proxies }
}

fn components(parts: &Parts, mesh: State, version: impl Fn(&str) -> Option<String>) -> BTreeMap<String, ComponentStatus> {
    let component = |(name, (_, health)): (&String, &(String, Health))| {
        let state = if health.state == State::Updating && mesh == State::Reconciling { State::Reconciling } else { health.state };
        let message = Some(cut(&health.message)).filter(|message| !message.is_empty());
        (name.clone(), ComponentStatus { status: Some(state), version: version(name), message })
    };
    parts.components.iter().chain(&parts.addons).map(component).collect()
}

// === impl Verdict ===

impl Verdict {
    fn of(state: State, reason: Reason, message: &str) -> Self {
        Self { state, parts: state, reason, message: message.to_owned() }
    }
}

// === impl Parts ===

impl Parts {
    fn unready(&self) -> impl Iterator<Item = &(String, Health)> {
        self.components.values().filter(|(_, health)| !health.is_ready())
    }
}

// === impl Applied ===

impl Applied {
    /// The change of version, where the one that is wanted doesn't serve yet.
    fn waits(&self) -> Option<&Upgrade> {
        self.upgrade.as_ref().filter(|upgrade| upgrade.waits)
    }

    /// Whether something stays as it is before somebody changes something.
    fn stalls(&self) -> bool {
        self.hindrance.as_ref().is_some_and(|(reason, _)| *reason != Reason::ApplyFailed)
    }
}

/// Conditions in the making.
struct Conditions<'a> {
    previous: &'a MeshInstallStatus,
    generation: Option<i64>,
    now: &'a Time,
    list: Vec<Condition>,
}

// === impl Conditions ===

impl Conditions<'_> {
    fn add(&mut self, type_: &str, holds: bool, reason: Reason, message: &str) {
        let status = if holds { "True" } else { "False" };
        let before = self.previous.conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        self.list.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.name().to_owned(),
            message: cut(message),
            last_transition_time: before.map_or_else(|| self.now.clone(), |before| before.last_transition_time.clone()),
            observed_generation: self.generation,
        });
    }

    fn proxies(&mut self, tally: &Tally) {
        let reason = match () {
            () if tally.is_well() => return self.add("ProxiesInSync", true, Reason::InSync, ""),
            () if tally.stuck.is_some() => Reason::RolloutStuck,
            () if tally.missed > 0 => Reason::PodsMissed,
            () if tally.stale() > 0 => Reason::ProxiesStale,
            () => Reason::ProxiesOutdated,
        };
        self.add("ProxiesInSync", false, reason, &tally.message());
    }

    /// Takes over conditions of which nothing new is known.
    fn keep(&mut self, types: &[&str]) {
        let kept = self.previous.conditions.iter().filter(|condition| types.contains(&condition.type_.as_str()));
        self.list.extend(kept.cloned());
    }

    fn result(&mut self, type_: &str, result: Option<&Result<(), String>>, good: Reason, bad: Reason) {
        match result {
            Some(Ok(())) => self.add(type_, true, good, ""),
            Some(Err(message)) => self.add(type_, false, bad, message),
            None => {}
        }
    }
}

/// At most [`LENGTH`] characters.
fn cut(message: &str) -> String {
    match message.char_indices().nth(LENGTH - 1) {
        Some((at, _)) if message[at..].chars().nth(1).is_some() => format!("{}…", &message[..at]),
        _ => message.to_owned(),
    }
}
