//! Tells authors what became of their objects: in the objects' status, and by an event when one has no effect.
//!
//! One of galley's replicas writes, the one that holds the lease. It writes what differs and nothing else, at a bounded rate, and only
//! its own share: the condition `Accepted`, the validation messages, the observed generation. What others change there is put right
//! later and later, so that nobody is fought.

mod share;
#[cfg(test)]
mod tests;

use kube::Client;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map},
    convert::Infallible,
    future::pending,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

use self::share::{Reason, differs, share, status};
use super::metrics::StatusMetrics;
use crate::index::{Reported, STATUS_MANAGER, Verdict, Verdicts, reference, stored_as};
use crate::model::ObjectRef;
use crate::runtime::{Backoff, Bucket, EventPublisher, Leadership, News, Shutdown, StatusFailure, Term, apply_status, this_second};

/// Writes a token of time apart: twenty a second, after a hundred at once.
const INTERVAL: Duration = Duration::from_millis(50);
const BURST: u32 = 100;
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

    /// What is written next, and when: what has no effect before what is doubtful, and that before the rest. Of equals the latest comes
    /// first, whose author may be waiting for it, while all the others of a new mesh have their turn.
    fn next(&self) -> Option<(ObjectRef, Instant)> {
        let now = Instant::now();
        let earliest = self.bucket.ready_at().max(self.resume).max(now);
        let due = self.entries.iter().filter_map(|(object, entry)| Some((object, entry.due?, Reason::of(&entry.verdict))));
        let (object, due, _) = due.min_by_key(|(_, due, reason)| ((*due).max(earliest), Reverse(*reason), Reverse(*due)))?;
        Some((object.clone(), due.max(earliest)))
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
        let Some(resource) = stored_as(object) else {
            entry.remove();
            return;
        };
        match apply_status(&self.client, STATUS_MANAGER, &resource, (object, &verdict.uid), &status(&wanted)).await {
            Ok(()) => {
                self.backoff.reset();
                self.metrics.written.inc();
                let repairs = written.as_ref().filter(|written| !differs(&wanted, &written.share)).map_or(0, |written| written.repairs + 1);
                *written = Some(Box::new(Written { share: wanted.clone(), at: now, repairs }));
                *due = None;
                let about = reference(object, &verdict.uid);
                self.events.publish(&about, transition(&before, &wanted)).await;
            }
            Err(StatusFailure::Gone) => _ = entry.remove(),
            Err(StatusFailure::Refused) => {
                self.metrics.failed.inc();
                *due = Some(now + REFUSED);
            }
            Err(StatusFailure::Down) => {
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
