//! Tells authors what became of their objects: in the objects' status, and by an event when one has no effect.
//!
//! One of galley's replicas writes, the one that holds the lease. It writes what differs and nothing else, at a bounded rate, and only
//! its own share: the condition `Accepted`, the validation messages, the observed generation. What others change there is put right
//! later and later, so that nobody is fought.

mod bucket;
mod share;
#[cfg(test)]
mod tests;

use ferromesh_crds::catalog;
use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, btree_map},
    convert::Infallible,
    future::pending,
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout};

use self::{
    bucket::Bucket,
    share::{differs, share, status},
};
use super::metrics::StatusMetrics;
use crate::index::{Reported, STATUS_MANAGER, Verdict, Verdicts};
use crate::model::ObjectRef;
use crate::runtime::{Backoff, EventPublisher, Leadership, News, Shutdown, Term, causes};

/// Writes a token of time apart: ten a second, after fifty at once.
const INTERVAL: Duration = Duration::from_millis(100);
const BURST: u32 = 50;
/// How long the API server may take for one write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a write that the API server refuses for its content is left alone.
const REFUSED: Duration = Duration::from_secs(60);
/// How long somebody else's change of our share is left alone; doubled each time, up to [`LAST_REPAIR`].
const FIRST_REPAIR: Duration = Duration::from_secs(1);
const LAST_REPAIR: Duration = Duration::from_secs(300);
/// How long a write is remembered.
const MEMORY: Duration = Duration::from_secs(600);

/// Writes statuses.
pub(super) struct StatusWriter {
    client: Client,
    verdicts: Verdicts,
    events: EventPublisher,
    metrics: StatusMetrics,
    /// Objects with something to write, or that were written lately. Others cost nothing.
    entries: BTreeMap<ObjectRef, Entry>,
    bucket: Bucket,
    backoff: Backoff,
    /// Not before: the API server didn't answer.
    resume: Instant,
}

/// One object.
struct Entry {
    verdict: Box<Verdict>,
    /// When its status is to be written; none if it is right.
    due: Option<Instant>,
    written: Option<Box<Written>>,
}

/// What was written.
#[derive(Clone)]
struct Written {
    share: Reported,
    at: Instant,
    /// How often the same was written again.
    repairs: u32,
}

/// How a write failed.
enum Failure {
    /// The object is gone, or another one has come in its place.
    Gone,
    /// The API server doesn't take this write.
    Refused,
    /// It doesn't take any at present.
    Down,
}

// === impl StatusWriter ===

impl StatusWriter {
    /// A writer of what `verdicts` say; `pod` is who tells events.
    pub(super) fn new(client: Client, verdicts: Verdicts, pod: &str, metrics: StatusMetrics) -> Self {
        Self {
            events: EventPublisher::new(client.clone(), STATUS_MANAGER, pod, "Validate"),
            client,
            verdicts,
            metrics,
            entries: BTreeMap::new(),
            bucket: Bucket::new(INTERVAL, BURST, Instant::now()),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            resume: Instant::now(),
        }
    }

    /// Follows the verdicts, and writes whenever this process leads, until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, mut leadership: Leadership, shutdown: Shutdown) -> Result<(), Infallible> {
        let verdicts = self.verdicts.clone();
        loop {
            let next = self.next();
            let turn = async {
                match &next {
                    Some((_, at)) => sleep_until(*at).await,
                    None => pending().await,
                }
                leadership.acquired().await
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                news = verdicts.changed() => self.take_in(news),
                term = turn => if let Some((object, _)) = &next {
                    self.write(object, &term).await;
                },
            }
            let due = self.entries.values().filter(|entry| entry.due.is_some()).count();
            self.metrics.pending.set(i64::try_from(due).unwrap_or(i64::MAX));
        }
    }

    fn take_in(&mut self, news: BTreeMap<ObjectRef, Option<Box<Verdict>>>) {
        let now = Instant::now();
        let recent = |written: &Written| now < written.at + MEMORY;
        self.entries.retain(|_, entry| entry.due.is_some() || entry.written.as_deref().is_some_and(recent));
        for (object, verdict) in news {
            let old = self.entries.remove(&object);
            let Some(verdict) = verdict else { continue };
            let written = old.filter(|old| old.verdict.uid == verdict.uid).and_then(|old| old.written).filter(|written| recent(written));
            let due = due(&verdict, written.as_deref(), now);
            if due.is_some() || written.is_some() {
                self.entries.insert(object, Entry { verdict, due, written });
            }
        }
    }

    /// What is written next, and when: what has no effect before what has.
    fn next(&self) -> Option<(ObjectRef, Instant)> {
        let now = Instant::now();
        let earliest = self.bucket.ready_at().max(self.resume);
        let due = self.entries.iter().filter_map(|(object, entry)| Some((object, entry.due?.max(earliest), entry.verdict.outcome.is_ok())));
        let (object, at, _) = due.min_by_key(|(_, at, accepted)| ((*at).max(now), *accepted))?;
        Some((object.clone(), at))
    }

    async fn write(&mut self, object: &ObjectRef, term: &Term) {
        let btree_map::Entry::Occupied(mut entry) = self.entries.entry(object.clone()) else { return };
        let Entry { verdict, written, due } = entry.get_mut();
        if term.check().is_err() {
            return;
        }
        let now = Instant::now();
        self.bucket.take(now);
        let before = written.as_ref().map_or(&verdict.reported, |written| &written.share).clone();
        let wanted = share(verdict, &before, this_second());
        match apply(&self.client, object, &verdict.uid, &wanted).await {
            Ok(()) => {
                self.backoff.reset();
                self.metrics.written.inc();
                let repairs = written.as_ref().filter(|written| !differs(&wanted, &written.share)).map_or(0, |written| written.repairs + 1);
                *written = Some(Box::new(Written { share: wanted.clone(), at: now, repairs }));
                *due = None;
                let about = reference(object, &verdict.uid);
                self.events.publish(&about, transition(&before, &wanted)).await;
            }
            Err(Failure::Gone) => _ = entry.remove(),
            Err(Failure::Refused) => {
                self.metrics.failed.inc();
                *due = Some(now + REFUSED);
            }
            Err(Failure::Down) => {
                self.metrics.failed.inc();
                self.resume = now + self.backoff.next_delay();
            }
        }
    }
}

/// When an object's status is to be written; none if it says what it should.
fn due(verdict: &Verdict, written: Option<&Written>, now: Instant) -> Option<Instant> {
    let before = written.map_or(&verdict.reported, |written| &written.share);
    let wanted = share(verdict, before, this_second());
    if !differs(&wanted, &verdict.reported) {
        return None;
    }
    // It was written already: either the watch hasn't seen that yet, or somebody else wrote since.
    let again = written.filter(|written| !differs(&wanted, &written.share));
    Some(now + again.map_or(Duration::ZERO, |written| FIRST_REPAIR.saturating_mul(1 << written.repairs.min(16)).min(LAST_REPAIR)))
}

/// What a person should hear of: that an object has no effect, or has none for another reason.
fn transition(before: &Reported, now: &Reported) -> Option<News> {
    let said = |reported: &Reported| {
        let accepted = reported.accepted.as_ref()?;
        Some((accepted.status.clone()?, accepted.reason.clone()?, accepted.message.clone()?))
    };
    let (status, reason, note) = said(now)?;
    (status == "False" && said(before).as_ref() != Some(&(status, reason.clone(), note.clone()))).then_some(News {
        warning: true,
        reason,
        note,
    })
}

async fn apply(client: &Client, object: &ObjectRef, uid: &str, share: &Reported) -> Result<(), Failure> {
    let Some(resource) = resource(object) else { return Err(Failure::Gone) };
    // With its uid the patch can't mean another object that came in its place.
    let metadata = json!({"name": object.name, "uid": uid});
    let body = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": status(share)});
    let api: Api<DynamicObject> = match &*object.namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    // Forced: what is in the share is the share's manager's, whoever wrote it last. What is not in it stays others'.
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let answer = timeout(PATIENCE, api.patch_status(&object.name, &params, &Patch::Apply(body))).await;
    let Ok(answer) = answer else {
        tracing::warn!(%object, "status not written: no answer in time");
        return Err(Failure::Down);
    };
    let error = match answer {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return Err(Failure::Gone),
        Err(error) => error,
    };
    tracing::warn!(%object, error = causes(&error), "status not written");
    match error {
        kube::Error::Api(answer) if (400..500).contains(&answer.code) && !matches!(answer.code, 401 | 403 | 429) => Err(Failure::Refused),
        _ => Err(Failure::Down),
    }
}

fn reference(object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: resource(object).map(|resource| resource.api_version),
        kind: Some(object.kind.to_owned()),
        namespace: Some(object.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        name: Some(object.name.to_string()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// The resource under which an object is stored.
fn resource(object: &ObjectRef) -> Option<ApiResource> {
    let kind = catalog::kinds().iter().find(|kind| kind.name == object.kind)?;
    let version = *kind.versions.first()?;
    Some(ApiResource {
        group: kind.group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", kind.group),
        kind: kind.name.to_owned(),
        plural: kind.plural.to_owned(),
    })
}

/// The present second, as the API server writes it.
fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
