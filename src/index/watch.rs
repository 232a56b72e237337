//! One watch of one kind: lists, watches, decodes, and begins again when it must.

use std::{convert::Infallible, fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    metrics::Metrics,
    update::{Fact, Update},
};
use crate::model::ObjectRef;
use crate::runtime::{Backoff, Shutdown, causes};

/// What can be watched.
pub(super) trait Watched: Resource<DynamicType: Clone> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}

impl<K: Resource<DynamicType: Clone> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Watched for K {}

/// Follows all objects of a kind.
pub(super) struct Watch<K> {
    kind: &'static str,
    api: Api<K>,
    selection: watcher::Config,
    /// The one object that the selection picks, if there can be but one.
    only: Option<ObjectRef>,
    updates: mpsc::Sender<Update>,
    metrics: Metrics,
    state: State,
}

/// How a watch is doing.
#[derive(Debug)]
struct State {
    backoff: Backoff,
    /// Whether the server is asked to send the list as a stream, which spares both sides the memory for it.
    streaming: bool,
    /// Whether a first list has been handed out.
    listed: bool,
    failing: bool,
    /// Answers in a row that there is no such kind.
    absent: u32,
}

/// What a failure asks for.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Going on as before, after a while.
    Wait,
    /// Listing anew, after a while.
    Relist,
    /// Listing without streams: the server does not know them.
    ListWithoutStreams,
    /// The server has no such kind.
    Absent,
}

/// After so many answers that there is no such kind, that is believed: an API server that has just started may say so of kinds that it
/// is about to serve.
const ABSENT_AFTER: u32 = 3;

/// A watch that fails no more, and has nothing to tell, is well again after this time. Longer than it takes to give up on a connection.
const QUIET: Duration = Duration::from_secs(40);

// === impl Watch ===

impl<K: Watched> Watch<K> {
    pub(super) fn new(
        kind: &'static str,
        api: Api<K>,
        selection: watcher::Config,
        updates: mpsc::Sender<Update>,
        metrics: Metrics,
    ) -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let state = State { backoff, streaming: true, listed: false, failing: false, absent: 0 };
        Self { kind, api, selection, only: None, updates, metrics, state }
    }

    /// A watch of one object, which says nothing of others of its kind. Only what `selection` picks may be it.
    pub(super) fn of_one(
        kind: &'static str,
        object: ObjectRef,
        api: Api<K>,
        selection: watcher::Config,
        updates: mpsc::Sender<Update>,
        metrics: Metrics,
    ) -> Self {
        Self { only: Some(object), ..Self::new(kind, api, selection, updates, metrics) }
    }

    /// Runs until shutdown. Every failure is tried again; what is known meanwhile stays.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, decode: impl Fn(K) -> Fact + Send + Sync, shutdown: Shutdown) -> Result<(), Infallible> {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow(&decode) => {}
        }
        Ok(())
    }

    async fn follow(&mut self, decode: &(impl Fn(K) -> Fact + Send + Sync)) {
        while self.follow_stream(decode).await.is_ok() {}
    }

    /// Follows one stream of events until another one is needed.
    async fn follow_stream(&mut self, decode: &(impl Fn(K) -> Fact + Send + Sync)) -> Result<(), WriterGone> {
        let config = if self.state.streaming { self.selection.clone().streaming_lists() } else { self.selection.clone() };
        let mut events = pin!(watcher::watcher(self.api.clone(), config));
        let (mut list, mut listing) = (Vec::new(), false);
        loop {
            let event = match self.state.failing {
                true => timeout(QUIET, events.next()).await,
                false => Ok(events.next().await),
            };
            match event {
                Ok(Some(Ok(Event::Init))) => {
                    if std::mem::replace(&mut listing, true) {
                        self.breaks("the stream of the list ended in good order, but before the list did").await;
                    }
                    list = Vec::new();
                }
                Ok(Some(Ok(Event::InitApply(object)))) => list.push(decode(object)),
                Ok(Some(Ok(Event::InitDone))) => {
                    listing = false;
                    self.works();
                    self.hand_out(std::mem::take(&mut list)).await?;
                }
                Ok(Some(Ok(Event::Apply(object)))) => {
                    self.works();
                    self.send(Update::One(decode(object))).await?;
                }
                Ok(Some(Ok(Event::Delete(object)))) => {
                    self.works();
                    self.send(Update::One(decode(object).gone())).await?;
                }
                Ok(Some(Err(error))) => {
                    // The list begins anew, after this wait.
                    listing = false;
                    match self.fails(&error).await? {
                        Remedy::Relist | Remedy::ListWithoutStreams => return Ok(()),
                        Remedy::Wait | Remedy::Absent => {}
                    }
                }
                Ok(None) => return Ok(()),
                Err(_) => self.works(),
            }
        }
    }

    /// A whole list.
    async fn hand_out(&mut self, mut list: Vec<Fact>) -> Result<(), WriterGone> {
        self.state.listed = true;
        let update = match &self.only {
            Some(object) => Update::One(list.pop().unwrap_or_else(|| Fact::absent(object.clone()))),
            None => Update::All(self.kind, list),
        };
        self.send(update).await
    }

    async fn send(&self, update: Update) -> Result<(), WriterGone> {
        self.updates.send(update).await.map_err(|_| WriterGone)
    }

    fn works(&mut self) {
        let state = &mut self.state;
        if std::mem::take(&mut state.failing) {
            tracing::info!(kind = self.kind, "watch works again");
            self.metrics.watch_works(self.kind);
        }
        state.absent = 0;
        state.backoff.reset();
    }

    /// Notes a failure that nobody told of, and waits a while.
    async fn breaks(&mut self, what: &str) {
        self.note_failure(what);
        sleep(self.state.backoff.next_delay()).await;
    }

    fn note_failure(&mut self, error: &str) {
        if !std::mem::replace(&mut self.state.failing, true) {
            tracing::warn!(kind = self.kind, error, "watch broken; what is known stays");
        }
        self.metrics.watch_failed(self.kind);
    }

    /// Notes a failure, and waits a while.
    async fn fails(&mut self, error: &watcher::Error) -> Result<Remedy, WriterGone> {
        let remedy = remedy(error, self.state.streaming);
        if remedy == Remedy::ListWithoutStreams {
            tracing::debug!(kind = self.kind, %error, "the server does not stream lists");
            self.state.streaming = false;
            return Ok(remedy);
        }
        self.state.absent = if remedy == Remedy::Absent { self.state.absent + 1 } else { 0 };
        self.note_failure(&causes(error));
        if self.state.absent >= ABSENT_AFTER && !self.state.listed {
            tracing::info!(kind = self.kind, "the cluster does not have this kind");
            self.hand_out(Vec::new()).await?;
        }
        sleep(self.state.backoff.next_delay()).await;
        Ok(remedy)
    }
}

/// The writer has ended, and with it the process.
struct WriterGone;

/// What a failure asks for.
fn remedy(error: &watcher::Error, streaming: bool) -> Remedy {
    let (code, starting) = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => (status.code, false),
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => (status.code, true),
        _ => return Remedy::Wait,
    };
    match code {
        404 => Remedy::Absent,
        // It would be asked for the same version for ever.
        410 if starting => Remedy::Relist,
        // Servers that do not know the parameters of streamed lists refuse them in either way.
        400 | 422 if starting && streaming => Remedy::ListWithoutStreams,
        _ => Remedy::Wait,
    }
}
