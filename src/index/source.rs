//! From the one writer to many readers: the latest snapshot, and what changed since a reader last looked.

use std::{collections::VecDeque, sync::Arc};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::{
    carried::CarriedObjects,
    difference::{difference, everything},
    rejected::RejectedObjects,
    secrets::NeededSecrets,
    standings::Standings,
    verdict::{Verdict, Verdicts},
};
use crate::model::{Changes, ObjectRef, Snapshot};

/// A reader of snapshots. A clone goes on from where the original stands.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    published: watch::Receiver<Option<Published>>,
    rejected: watch::Receiver<RejectedObjects>,
    carried: watch::Receiver<Option<CarriedObjects>>,
    verdicts: Verdicts,
    standings: Option<Standings>,
    needed_secrets: NeededSecrets,
    /// What this reader was given last.
    last: Option<Arc<Snapshot>>,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Publisher {
    published: watch::Sender<Option<Published>>,
    rejected: watch::Sender<RejectedObjects>,
    carried: watch::Sender<Option<CarriedObjects>>,
    verdicts: Verdicts,
}

/// The latest snapshot, and the steps that led to it, as far as they are remembered.
#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    /// What led from the version before to that version; consecutive, the last one to `snapshot`.
    steps: VecDeque<(u64, Arc<Changes>)>,
    /// Changes in all steps.
    remembered: usize,
}

/// Changes that are remembered for readers that lag behind. One that lags further compares whole snapshots, which then costs less than
/// remembering more would.
const REMEMBERED: usize = 4 * 1024;

/// A publisher and a reader of what it publishes.
pub(super) fn channel() -> (Publisher, SnapshotSource) {
    let (published, receiver) = watch::channel(None);
    let (rejected, rejected_receiver) = watch::channel(RejectedObjects::default());
    let verdicts = Verdicts::default();
    let needed_secrets = NeededSecrets::default();
    let (carried, carried_receiver) = watch::channel(None);
    let source = SnapshotSource {
        published: receiver,
        rejected: rejected_receiver,
        carried: carried_receiver,
        verdicts: verdicts.clone(),
        standings: None,
        needed_secrets,
        last: None,
    };
    (Publisher { published, rejected, carried, verdicts }, source)
}

// === impl Publisher ===

impl Publisher {
    /// Publishes the next version and what changed since the one before.
    pub(super) fn publish(&self, snapshot: Arc<Snapshot>, changes: Changes) {
        self.published.send_modify(|published| match published {
            Some(published) => published.advance(snapshot, changes),
            None => *published = Some(Published { snapshot, steps: VecDeque::new(), remembered: 0 }),
        });
    }

    /// Publishes which objects are not understood.
    pub(super) fn publish_rejected(&self, rejected: RejectedObjects) {
        self.rejected.send_replace(rejected);
    }

    /// Publishes objects as they are passed on.
    pub(super) fn publish_carried(&self, carried: CarriedObjects) {
        self.carried.send_replace(Some(carried));
    }

    /// Publishes what authors of objects are to be told.
    pub(super) fn publish_verdicts(&self, verdicts: Vec<(ObjectRef, Option<Box<Verdict>>)>) {
        self.verdicts.tell(verdicts);
    }
}

// === impl Published ===

impl Published {
    fn advance(&mut self, snapshot: Arc<Snapshot>, changes: Changes) {
        self.remembered += changes.len().max(1);
        self.steps.push_back((snapshot.version, Arc::new(changes)));
        self.snapshot = snapshot;
        while self.remembered > REMEMBERED
            && let Some((_, forgotten)) = self.steps.pop_front()
        {
            self.remembered -= forgotten.len().max(1);
        }
    }

    /// The steps after `version`; none if the first of them is forgotten.
    fn steps_since(&self, version: u64) -> Option<Vec<Arc<Changes>>> {
        let (first, _) = self.steps.front()?;
        let known = *first <= version + 1;
        known.then(|| self.steps.iter().filter(|(step, _)| *step > version).map(|(_, changes)| changes.clone()).collect())
    }
}

// === impl SnapshotSource ===

impl SnapshotSource {
    /// The latest snapshot once it differs from the last one that this reader got, and everything that may differ between the two. The
    /// first call waits for the first complete snapshot and reports everything in it. `None` when the writer has ended. Cancel-safe.
    pub async fn changed(&mut self) -> Option<(Arc<Snapshot>, Changes)> {
        let seen = self.last.as_ref().map(|last| last.version);
        let (snapshot, steps) = {
            let news = |published: &Option<Published>| published.as_ref().is_some_and(|it| Some(it.snapshot.version) != seen);
            let published = self.published.wait_for(news).await.ok()?;
            let published = published.as_ref()?;
            (published.snapshot.clone(), seen.and_then(|seen| published.steps_since(seen)))
        };
        // Beyond this point the writer is not held up.
        let changes = match (self.last.replace(snapshot.clone()), steps) {
            (Some(_), Some(steps)) => steps.iter().flat_map(|step| step.iter().cloned()).collect(),
            (Some(last), None) => difference(&last, &snapshot),
            (None, _) => everything(&snapshot),
        };
        Some((snapshot, changes))
    }

    /// What [`Self::changed`] returns, again and again until the writer ends.
    pub fn into_stream(self) -> impl Stream<Item = (Arc<Snapshot>, Changes)> + Send + 'static {
        stream::unfold(self, async |mut source| source.changed().await.map(|news| (news, source)))
    }

    /// The latest snapshot; `None` before the first one. It does not count as seen by [`Self::changed`].
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.published.borrow().as_ref().map(|published| published.snapshot.clone())
    }

    /// Where one reader says which Secrets it needs; snapshots then tell what those hold.
    pub fn needed_secrets(&self) -> NeededSecrets {
        self.needed_secrets.clone()
    }

    /// Stored objects that are not understood, kept current.
    pub fn rejected(&self) -> watch::Receiver<RejectedObjects> {
        self.rejected.clone()
    }

    /// All objects of the configuration as they are passed on, kept current; none while the cluster isn't known. Only of an index that was
    /// started for [`Purpose::Distribution`](super::Purpose).
    pub fn carried(&self) -> watch::Receiver<Option<CarriedObjects>> {
        self.carried.clone()
    }

    /// What is to be known of stored objects to write their statuses; none where the API server is asked for that.
    pub fn standings(&self) -> Option<Standings> {
        self.standings.clone()
    }

    /// The same source, which knows this of stored objects.
    pub(super) fn knowing(self, standings: Standings) -> Self {
        Self { standings: Some(standings), ..self }
    }

    /// What became of each stored object, for one reader who tells their authors. From an index that was started
    /// for [`Purpose::Traffic`](super::Purpose), only of those whose status says that proxies do not take them.
    pub fn verdicts(&self) -> Verdicts {
        self.verdicts.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::model::{Change, WorkloadKey};

    fn step(version: u64, names: impl IntoIterator<Item = usize>) -> (Arc<Snapshot>, Changes) {
        let changes = names.into_iter().map(|name| Change::Workload(WorkloadKey::new("ns", &name.to_string()))).collect();
        (Arc::new(Snapshot { version, ..Snapshot::default() }), changes)
    }

    fn names(changes: &Changes) -> Vec<&str> {
        changes.iter().map(|change| if let Change::Workload(key) = change { &*key.name } else { "-" }).collect()
    }

    #[tokio::test]
    async fn a_reader_gets_the_latest_snapshot_and_all_changes_since_its_last_call() {
        let (publisher, mut quick) = channel();
        let publish = |version, names: &[usize]| {
            let (snapshot, changes) = step(version, names.iter().copied());
            publisher.publish(snapshot, changes);
        };
        publish(1, &[]);
        assert_eq!(quick.changed().await.unwrap().1, Changes::from([Change::Mesh]));
        let mut slow = quick.clone();
        publish(2, &[1]);
        assert_eq!(names(&quick.changed().await.unwrap().1), ["1"]);
        publish(3, &[2]);
        let (snapshot, changes) = slow.changed().await.unwrap();
        assert_eq!((snapshot.version, names(&changes)), (3, vec!["1", "2"]));
        assert_eq!(names(&quick.changed().await.unwrap().1), ["2"]);
        assert_eq!(quick.latest().unwrap().version, 3);
    }

    #[tokio::test]
    async fn the_end_of_the_writer_is_told_after_its_last_snapshot() {
        let (publisher, source) = channel();
        publisher.publish(step(1, []).0, Changes::new());
        drop(publisher);
        let versions: Vec<_> = source.into_stream().map(|(snapshot, _)| snapshot.version).collect().await;
        assert_eq!(versions, [1]);
    }

    #[tokio::test]
    async fn what_a_slow_reader_missed_is_bounded_and_then_found_by_comparing() {
        let (publisher, mut source) = channel();
        publisher.publish(step(1, []).0, Changes::new());
        source.changed().await.unwrap();
        for version in 2..40 {
            let (snapshot, changes) = step(version, 0..1000);
            publisher.publish(snapshot, changes);
        }
        assert!(publisher.published.borrow().as_ref().unwrap().remembered <= REMEMBERED);
        // The snapshots of this test are all equal, so comparing finds nothing.
        let (snapshot, changes) = source.changed().await.unwrap();
        assert_eq!((snapshot.version, changes.len()), (39, 0));
    }
}
