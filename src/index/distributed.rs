//! Configuration from galley, in place of watches: the same objects, read by the same parsers, told to the same writer.

use std::{convert::Infallible, sync::Arc};

use ferromesh_crds::catalog;
use kube::core::DynamicObject;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Purpose,
    standings::{Standing, Standings},
    update::{self, Fact, Update},
};
use crate::config::ParseContext;
use crate::mcp::{ChangeSet, KindChanges};
use crate::model::ObjectRef;
use crate::runtime::Shutdown;

/// Reads what galley tells.
pub(super) struct Distributed {
    sets: mpsc::Receiver<ChangeSet>,
    context: Arc<ParseContext>,
    purpose: Purpose,
    standings: Standings,
    updates: mpsc::Sender<Update>,
}

/// What became of the objects of a set.
type News = Vec<(ObjectRef, Option<Standing>)>;

// === impl Distributed ===

impl Distributed {
    pub(super) fn new(
        sets: mpsc::Receiver<ChangeSet>,
        context: Arc<ParseContext>,
        purpose: Purpose,
        standings: Standings,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        Self { sets, context, purpose, standings, updates }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let set = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                set = self.sets.recv() => set,
            };
            let Some(set) = set else {
                // The client ends only with the process.
                shutdown.requested().await;
                return Ok(());
            };
            let (update, news) = self.read(set);
            // First: whoever finds something wrong with an object asks for these.
            self.standings.note(news);
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                sent = self.updates.send(update) => if sent.is_err() {
                    return Ok(());
                },
            }
        }
    }

    fn read(&self, set: ChangeSet) -> (Update, News) {
        let (mut updates, mut news) = (Vec::new(), Vec::new());
        for changes in set.kinds {
            self.read_kind(changes, &mut updates, &mut news);
        }
        (Update::Together(updates), news)
    }

    fn read_kind(&self, changes: KindChanges, updates: &mut Vec<Update>, news: &mut News) {
        let Some(kind) = catalog::find(changes.group, changes.kind) else { return };
        let mut facts = Vec::with_capacity(changes.changed.len());
        for object in changes.changed {
            let standing = Standing::of(&object);
            let fact = self.fact(kind, object);
            news.push((fact.object.clone(), Some(standing)));
            facts.push(fact);
        }
        match changes.whole {
            true => updates.push(Update::All(kind.name, facts)),
            false => updates.extend(facts.into_iter().map(Update::One)),
        }
        for object in changes.removed {
            news.push((object.clone(), None));
            updates.push(Update::One(Fact::absent(object)));
        }
    }

    /// An object, read as it is from a watch.
    fn fact(&self, kind: &catalog::Kind, object: Value) -> Fact {
        let [namespace, name] = ["namespace", "name"].map(|field| object["metadata"][field].as_str().unwrap_or_default().to_owned());
        match serde_json::from_value::<DynamicObject>(object) {
            Ok(object) => update::config(kind, object, &self.context, self.purpose),
            // Kubernetes stores no such metadata.
            Err(error) => {
                tracing::warn!(kind = kind.name, ns = namespace, name, %error, "object from galley has no metadata");
                Fact::absent(ObjectRef::new(kind.name, &namespace, &name))
            }
        }
    }
}
