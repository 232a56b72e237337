//! What the rest of a process sees of an election.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// One period of leading, as the elector publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenure {
    /// Counts the terms of this process, so that an old [`Term`] is not revived by a new one.
    pub(super) number: u64,
    /// Until when this process may write without another renewal.
    pub(super) deadline: Instant,
}

/// Whether this process leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
}

/// Proof that this process led when it was made; ask it before each write.
#[derive(Clone, Debug)]
pub struct Term {
    tenure: watch::Receiver<Option<Tenure>>,
    number: u64,
}

/// The term is over: another process may be writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process does not lead any more")]
pub struct NotLeader;

// === impl Leadership ===

impl Leadership {
    pub(super) fn new(tenure: watch::Receiver<Option<Tenure>>) -> Self {
        Self { tenure }
    }

    /// Waits until this process leads. Never resolves once the elector has ended.
    pub async fn acquired(&mut self) -> Term {
        loop {
            if let Some(tenure) = held(&self.tenure) {
                return Term { tenure: self.tenure.clone(), number: tenure.number };
            }
            if self.tenure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether this process leads now.
    pub fn is_leader(&self) -> bool {
        held(&self.tenure).is_some()
    }
}

// === impl Term ===

impl Term {
    /// Whether this process may still write. Looks at the clock, so that a process that was stopped for a minute learns it here.
    ///
    /// # Errors
    /// When the term is over.
    pub fn check(&self) -> Result<(), NotLeader> {
        held(&self.tenure).filter(|tenure| tenure.number == self.number).map(drop).ok_or(NotLeader)
    }

    /// Resolves when the term is over.
    pub async fn lost(&self) {
        let mut tenure = self.tenure.clone();
        loop {
            let current = *tenure.borrow_and_update();
            let Some(current) = current.filter(|current| current.number == self.number) else { return };
            tokio::select! {
                () = sleep_until(current.deadline) => return,
                changed = tenure.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn held(tenure: &watch::Receiver<Option<Tenure>>) -> Option<Tenure> {
    tenure.borrow().filter(|tenure| Instant::now() < tenure.deadline)
}
