//! Whether a process may get traffic: it may when nothing is awaited any more.

use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// The set of things that a process still waits for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    awaited: Arc<watch::Sender<Awaited>>,
}

#[derive(Debug, Default)]
struct Awaited {
    next: u64,
    names: BTreeMap<u64, String>,
}

/// Keeps the process from being ready until it is dropped.
///
/// Release it when the work has *finished* (a watch has delivered its whole first list), not when it has started.
#[derive(Debug)]
#[must_use = "dropping the guard at once says that the work is done"]
pub struct ReadyGuard {
    awaited: Arc<watch::Sender<Awaited>>,
    id: u64,
}

// === impl Readiness ===

impl Readiness {
    /// A process that waits for nothing. Take every guard before the first `/ready` can be asked.
    #[expect(clippy::new_without_default, reason = "a default would hide that this is one process's single set")]
    pub fn new() -> Self {
        Self { awaited: Arc::new(watch::Sender::new(Awaited::default())) }
    }

    /// Holds readiness back until the guard is dropped. `what` is shown to people, as in "waiting for: watch of pods".
    pub fn wait_for(&self, what: impl Into<String>) -> ReadyGuard {
        let what = what.into();
        let mut id = 0;
        self.awaited.send_modify(|awaited| {
            id = awaited.next;
            awaited.next += 1;
            awaited.names.insert(id, what);
        });
        ReadyGuard { awaited: self.awaited.clone(), id }
    }

    /// What is still awaited, in the order in which it was asked for. Empty means ready.
    pub fn awaited(&self) -> Vec<String> {
        self.awaited.borrow().names.values().cloned().collect()
    }

    /// Whether nothing is awaited.
    pub fn is_ready(&self) -> bool {
        self.awaited.borrow().names.is_empty()
    }

    /// Resolves when nothing is awaited.
    pub async fn ready(&self) {
        let mut receiver = self.awaited.subscribe();
        receiver.wait_for(|awaited| awaited.names.is_empty()).await.expect("self keeps the sender");
    }
}

// === impl ReadyGuard ===

impl Drop for ReadyGuard {
    fn drop(&mut self) {
        self.awaited.send_modify(|awaited| {
            awaited.names.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_the_last_guard_is_gone() {
        let readiness = Readiness::new();
        let pods = readiness.wait_for("watch of pods");
        let root = readiness.wait_for("root certificate");
        assert_eq!(readiness.awaited(), ["watch of pods", "root certificate"]);
        drop(pods);
        assert_eq!(readiness.awaited(), ["root certificate"]);
        assert!(!readiness.is_ready());
        drop(root);
        assert!(readiness.is_ready());
    }

    #[test]
    fn two_guards_of_one_name_are_two_guards() {
        let readiness = Readiness::new();
        let first = readiness.wait_for("watch");
        let _second = readiness.wait_for("watch");
        drop(first);
        assert!(!readiness.is_ready());
    }
}
