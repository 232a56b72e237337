//! What is wrong with objects although they were understood, for whoever tells their authors.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use crate::model::ObjectRef;

/// A part of the object can't be applied.
pub(super) const LEFT_OUT: &str = "PartLeftOut";
/// A Secret that the object names is missing, or of no use.
pub(super) const NO_SECRET: &str = "SecretUnusable";

/// Whether what has that reason may come to an end although the object stays what it is: when another one changes.
pub(super) fn is_passing(reason: &str) -> bool {
    [LEFT_OUT, NO_SECRET].contains(&reason)
}

/// What is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The cause in one word: API, because scripts compare it. docs/pilot.md explains them.
    pub(super) reason: &'static str,
    /// The cause and what is done about it, in a sentence.
    pub(super) message: String,
}

/// All problems, each topic's by object. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Problems {
    topics: watch::Sender<Topics>,
}

type Topics = BTreeMap<&'static str, Arc<BTreeMap<ObjectRef, Problem>>>;

/// Follows the problems of all topics.
pub(super) struct ProblemsReader {
    topics: watch::Receiver<Topics>,
}

// === impl Problems ===

impl Problems {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { topics: watch::Sender::default() }
    }

    /// These are the problems of a topic from now on.
    pub(super) fn set(&self, topic: &'static str, problems: BTreeMap<ObjectRef, Problem>) {
        self.topics.send_if_modified(|topics| {
            let differs = topics.get(topic).map_or(!problems.is_empty(), |known| **known != problems);
            if differs {
                topics.insert(topic, Arc::new(problems));
            }
            differs
        });
    }

    pub(super) fn follow(&self) -> ProblemsReader {
        let mut topics = self.topics.subscribe();
        topics.mark_changed();
        ProblemsReader { topics }
    }
}

// === impl ProblemsReader ===

impl ProblemsReader {
    /// All problems, once they differ from those that were returned before; of each object one, by its topics' order. `None` when there
    /// will be no more. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Option<BTreeMap<ObjectRef, Problem>> {
        self.topics.changed().await.ok()?;
        let topics = self.topics.borrow_and_update();
        let mut all = BTreeMap::new();
        for (object, problem) in topics.values().flat_map(|problems| problems.iter()) {
            all.entry(object.clone()).or_insert_with(|| problem.clone());
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn problems_of_several_topics_are_told_together_and_only_when_they_change() {
        let problems = Problems::new();
        let problem = |reason| Problem { reason, message: String::new() };
        let (a, b) = (ObjectRef::new("Gateway", "shop", "a"), ObjectRef::new("Gateway", "shop", "b"));
        let mut reader = problems.follow();
        assert_eq!(reader.changed().await, Some(BTreeMap::new()));
        problems.set("second", [(a.clone(), problem("Second")), (b.clone(), problem("Second"))].into());
        problems.set("first", [(a.clone(), problem("First"))].into());
        assert_eq!(reader.changed().await, Some([(a.clone(), problem("First")), (b.clone(), problem("Second"))].into()));
        problems.set("first", [(a, problem("First"))].into());
        assert!(futures::FutureExt::now_or_never(reader.changed()).is_none());
        drop(problems);
        assert_eq!(reader.changed().await, None);
    }
}
