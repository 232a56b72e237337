//! How far a fleet of proxies is with what is measured.

use anyhow::anyhow;
use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

use super::kind::Kind;

/// What is not over within this time is a failure and no figure.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every proxy of the fleet shall reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Everything that it asked for.
    Configured,
    /// Another form of a resource of that kind, acknowledged.
    Changed(Kind),
}

/// When proxies reached a goal, and what they read until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) first: Instant,
    pub(super) last: Instant,
    /// Bytes of gRPC messages, of all proxies together.
    pub(super) bytes: u64,
}

/// The board that proxies write on.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    round: u64,
    goal: Option<Goal>,
    wanted: usize,
    reached: usize,
    first: Option<Instant>,
    last: Option<Instant>,
    bytes: u64,
    failure: Option<anyhow::Error>,
    recording: Option<Recording>,
}

/// What one proxy was sent: whole gRPC messages, by the type of their resources.
pub(super) type Recording = BTreeMap<String, Vec<u8>>;

// === impl Board ===

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a round: so many proxies shall reach the goal.
    pub(super) fn begin(&self, goal: Goal, wanted: usize) {
        let mut state = self.state();
        let (round, failure, recording) = (state.round + 1, state.failure.take(), Some(Recording::new()));
        *state = State { round, goal: Some(goal), wanted, failure, recording, ..State::default() };
    }

    /// The present round and its goal.
    pub(super) fn round(&self) -> (u64, Option<Goal>) {
        let state = self.state();
        (state.round, state.goal)
    }

    /// A proxy reached the goal.
    pub(super) fn reached(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.reached += 1;
        state.first.get_or_insert(now);
        state.last = Some(now);
        if state.reached >= state.wanted {
            self.news.notify_one();
        }
    }

    /// A proxy read so many bytes.
    pub(super) fn read(&self, bytes: usize) {
        self.state().bytes += bytes as u64;
    }

    /// A proxy was sent this message.
    pub(super) fn record(&self, type_url: String, message: &[u8]) {
        if let Some(recording) = &mut self.state().recording {
            recording.entry(type_url).or_default().extend_from_slice(message);
        }
    }

    /// What was recorded in this round.
    pub(super) fn recording(&self) -> Recording {
        self.state().recording.as_mut().map(mem::take).unwrap_or_default()
    }

    /// A proxy can't go on.
    pub(super) fn failed(&self, error: anyhow::Error) {
        self.state().failure.get_or_insert(error);
        self.news.notify_one();
    }

    /// Waits until all have reached the goal.
    ///
    /// # Errors
    /// When a proxy failed, or it takes too long.
    pub(super) async fn all(&self) -> anyhow::Result<Reached> {
        timeout(PATIENCE, self.wait()).await.unwrap_or_else(|_| {
            let State { goal, reached, wanted, .. } = &*self.state();
            Err(anyhow!("{reached} of {wanted} proxies reached {goal:?} within {PATIENCE:?}"))
        })
    }

    async fn wait(&self) -> anyhow::Result<Reached> {
        loop {
            {
                let mut state = self.state();
                if let Some(failure) = state.failure.take() {
                    return Err(failure);
                }
                if let (Some(first), Some(last)) = (state.first, state.last)
                    && state.reached >= state.wanted
                {
                    return Ok(Reached { first, last, bytes: state.bytes });
                }
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_ends_with_its_last_proxy() {
        let board = Board::default();
        board.begin(Goal::Changed(Kind::Routes), 2);
        assert_eq!(board.round(), (1, Some(Goal::Changed(Kind::Routes))));
        board.read(10);
        board.reached();
        assert!(timeout(Duration::from_millis(10), board.all()).await.is_err(), "one of two");
        board.read(5);
        board.reached();
        let reached = board.all().await.unwrap();
        assert!(reached.first < reached.last);
        assert_eq!(reached.bytes, 15);
        board.begin(Goal::Configured, 1);
        assert!(timeout(Duration::from_millis(10), board.all()).await.is_err(), "a new round");
    }

    #[tokio::test]
    async fn a_failure_ends_it_whenever_it_came() {
        let board = Board::default();
        board.failed(anyhow!("broken"));
        board.begin(Goal::Configured, 1);
        assert_eq!(board.all().await.unwrap_err().to_string(), "broken");
    }
}
