//! The tasks of a process: none is forgotten, and none may die alone.

use futures::{Stream, StreamExt};
use std::{collections::HashMap, error::Error, future::Future, pin::pin, time::Duration};
use tokio::task::{Id, JoinError, JoinSet};

use super::{Shutdown, Trigger};

type BoxError = Box<dyn Error + Send + Sync>;

/// Every long-running task of a process. Each gets a [`Shutdown`] and ends soon after it is requested.
///
/// A process ends in two steps, because Kubernetes ends a pod while others still send requests to it: with the signal those end who write
/// ([`Tasks::handover`]), so that another replica takes over; those who answer ([`Tasks::shutdown`]) go on for a while.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, String>,
    handover: (Trigger, Shutdown),
    shutdown: (Trigger, Shutdown),
    linger: Duration,
}

/// Why a process ended other than by an orderly drain.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A task returned although nobody had asked for shutdown.
    #[error("task {0:?} ended before the process was asked to")]
    Ended(String),
    /// A task returned an error.
    #[error("task {name:?} failed")]
    Failed {
        /// The task's name.
        name: String,
        /// What it returned.
        #[source]
        source: BoxError,
    },
    /// A task panicked.
    #[error("task {name:?} panicked")]
    Panicked {
        /// The task's name.
        name: String,
        /// The panic.
        #[source]
        source: JoinError,
    },
    /// Some tasks did not end in time.
    #[error("still running after a drain of {deadline:?}: {}", .names.join(", "))]
    DrainDeadline {
        /// The drain's deadline.
        deadline: Duration,
        /// The tasks that were cut off.
        names: Vec<String>,
    },
    /// A second signal came while draining.
    #[error("a second signal ({0}) cut the drain short")]
    Aborted(&'static str),
}

// === impl Tasks ===

impl Tasks {
    /// No task yet.
    #[expect(clippy::new_without_default, reason = "a default would hide that this is one process's single set")]
    pub fn new() -> Self {
        let (handover, shutdown) = (Shutdown::channel(), Shutdown::channel());
        Self { set: JoinSet::new(), names: HashMap::new(), handover, shutdown, linger: Duration::ZERO }
    }

    /// For how long after SIGTERM those who answer go on, until every node has heard that nobody is to be sent here; not at all by default.
    #[must_use]
    pub fn lingering(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// The process's end, as tasks see it.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.1.clone()
    }

    /// The end for those who lead and write: it comes with the signal.
    pub fn handover(&self) -> Shutdown {
        self.handover.1.clone()
    }

    /// Starts a task. It must run until shutdown is requested: a task that returns earlier ends the process.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let handle = self.set.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name.into());
    }

    /// Runs until a signal arrives or a task dies, then lets every task end, for `drain` at most.
    ///
    /// # Errors
    /// The first thing that went wrong: a task that died, a drain that took too long, a second signal.
    pub async fn run(mut self, mut signals: impl Stream<Item = &'static str> + Unpin, drain: Duration) -> Result<(), TaskError> {
        let died = tokio::select! {
            Some(signal) = signals.next() => {
                self.handover.0.request();
                let lingered = if signal == "SIGTERM" { self.answer_on(&mut signals).await } else { Ok(()) };
                tracing::info!(signal, "draining");
                lingered
            }
            Some(end) = self.set.join_next_with_id() => self.verdict(end, false),
        };
        self.handover.0.request();
        self.shutdown.0.request();
        let drained = tokio::select! {
            result = self.drain() => result,
            Some(signal) = signals.next() => Err(TaskError::Aborted(signal)),
            () = tokio::time::sleep(drain) => Err(TaskError::DrainDeadline { deadline: drain, names: self.running() }),
        };
        self.set.abort_all();
        while self.set.join_next().await.is_some() {}
        died.and(drained)
    }

    /// Lets those who write end, and the others go on, until the time is over, somebody is impatient, or a task fails.
    async fn answer_on(&mut self, signals: &mut (impl Stream<Item = &'static str> + Unpin)) -> Result<(), TaskError> {
        if self.linger.is_zero() {
            return Ok(());
        }
        tracing::info!(linger = ?self.linger, "answering on for those who have not heard yet");
        let mut over = pin!(tokio::time::sleep(self.linger));
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                Some(_) = signals.next() => return Ok(()),
                Some(end) = self.set.join_next_with_id() => self.verdict(end, true)?,
            }
        }
    }

    /// Joins what is left. One task's failure does not keep the others from draining.
    async fn drain(&mut self) -> Result<(), TaskError> {
        let mut first = Ok(());
        while let Some(end) = self.set.join_next_with_id().await {
            first = first.and(self.verdict(end, true));
        }
        first
    }

    fn verdict(&mut self, end: Result<(Id, Result<(), BoxError>), JoinError>, draining: bool) -> Result<(), TaskError> {
        let id = end.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or_default();
        match end {
            Ok((_, Ok(()))) if draining => Ok(()),
            Ok((_, Ok(()))) => Err(TaskError::Ended(name)),
            Ok((_, Err(source))) => Err(TaskError::Failed { name, source }),
            Err(source) => Err(TaskError::Panicked { name, source }),
        }
    }

    fn running(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.values().cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::{future::pending, io};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    const DRAIN: Duration = Duration::from_secs(5);

    async fn until(shutdown: Shutdown) -> io::Result<()> {
        shutdown.requested().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_signal_lets_every_task_end() {
        let mut tasks = Tasks::new();
        tasks.spawn("a", until(tasks.shutdown()));
        tasks.spawn("b", until(tasks.shutdown()));
        tasks.run(stream::iter(["SIGTERM"]), DRAIN).await.unwrap();
    }

    const LONG: Duration = Duration::from_secs(3600);

    /// A process of one that writes and one that answers, with their ends.
    fn both(linger: Duration) -> (Shutdown, Shutdown, Tasks) {
        let mut tasks = Tasks::new().lingering(linger);
        let (handover, shutdown) = (tasks.handover(), tasks.shutdown());
        tasks.spawn("who writes", until(handover.clone()));
        tasks.spawn("who answers", until(shutdown.clone()));
        (handover, shutdown, tasks)
    }

    #[tokio::test]
    async fn who_writes_ends_with_the_signal_and_who_answers_goes_on() {
        let (send, signals) = mpsc::channel(2);
        let (handover, shutdown, tasks) = both(LONG);
        let running = tokio::spawn(tasks.run(ReceiverStream::new(signals), DRAIN));
        send.send("SIGTERM").await.unwrap();
        handover.requested().await;
        assert!(!shutdown.is_requested());
        // Whoever has no patience says so again.
        send.send("SIGTERM").await.unwrap();
        running.await.unwrap().unwrap();
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn an_end_without_lingering_is_one_for_all() {
        for (linger, signal) in [(LONG, "SIGINT"), (Duration::ZERO, "SIGTERM"), (Duration::from_millis(1), "SIGTERM")] {
            let (_, _, tasks) = both(linger);
            let signals = stream::iter([signal]).chain(stream::pending());
            tasks.run(signals, DRAIN).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_failure_while_lingering_ends_the_process() {
        let (_, _, mut tasks) = both(LONG);
        let handover = tasks.handover();
        tasks.spawn("fragile", async move {
            handover.requested().await;
            Err(io::Error::other("broken"))
        });
        let error = tasks.run(stream::iter(["SIGTERM"]).chain(stream::pending()), DRAIN).await.unwrap_err();
        assert!(matches!(error, TaskError::Failed { name, .. } if name == "fragile"));
    }

    #[tokio::test]
    async fn a_task_that_ends_early_ends_the_process() {
        let mut tasks = Tasks::new();
        tasks.spawn("steady", until(tasks.shutdown()));
        tasks.spawn("watch", async { io::Result::Ok(()) });
        let error = tasks.run(stream::pending(), DRAIN).await.unwrap_err();
        assert_eq!(error.to_string(), "task \"watch\" ended before the process was asked to");
    }

    #[tokio::test]
    async fn a_panic_ends_the_process() {
        let mut tasks = Tasks::new();
        tasks.spawn("steady", until(tasks.shutdown()));
        tasks.spawn("fragile", async {
            assert!(tokio::time::Instant::now().elapsed() > DRAIN, "broken");
            io::Result::Ok(())
        });
        let error = tasks.run(stream::pending(), DRAIN).await.unwrap_err();
        assert!(matches!(error, TaskError::Panicked { name, .. } if name == "fragile"));
    }

    #[tokio::test]
    async fn a_stuck_task_is_cut_off_at_the_deadline_and_named() {
        let mut tasks = Tasks::new();
        tasks.spawn("stuck", pending::<io::Result<()>>());
        let error = tasks.run(stream::iter(["SIGTERM"]).chain(stream::pending()), Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.to_string(), "still running after a drain of 10ms: stuck");
    }

    #[tokio::test]
    async fn a_second_signal_aborts() {
        let mut tasks = Tasks::new();
        tasks.spawn("stuck", pending::<io::Result<()>>());
        let error = tasks.run(stream::iter(["SIGTERM", "SIGINT"]), Duration::from_secs(3600)).await.unwrap_err();
        assert!(matches!(error, TaskError::Aborted("SIGINT")));
    }
}
