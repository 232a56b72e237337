//! The mesh as analysis sees it.

use std::sync::Arc;

use super::{Facts, tables::Tables};
use crate::model::{Change, Changes, ConfigObject, Snapshot};

/// A snapshot, further facts, and the indexes that checks look things up in. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct World {
    snapshot: Arc<Snapshot>,
    facts: Arc<Facts>,
    pub(super) tables: Tables,
}

impl World {
    /// The world of a snapshot. Costs the snapshot's size.
    pub fn new(snapshot: Arc<Snapshot>, facts: Facts) -> Self {
        let everything = everything_in(&snapshot);
        let mut world = Self { facts: Arc::new(facts), ..Self::default() };
        world.update(snapshot, &everything);
        world
    }

    /// Takes the next snapshot, of which `changes` tells all that may differ. Costs what changed.
    pub fn update(&mut self, snapshot: Arc<Snapshot>, changes: &Changes) {
        let old = std::mem::replace(&mut self.snapshot, snapshot);
        self.tables.update(&old, &self.snapshot, changes);
    }

    /// Takes other facts.
    pub fn set_facts(&mut self, facts: Facts) {
        self.facts = Arc::new(facts);
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The facts.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The same world with an object in place of the one of its name.
    pub(super) fn with(&self, object: &ConfigObject) -> Self {
        let mut snapshot = (*self.snapshot).clone();
        snapshot.config.insert(object.clone());
        let mut world = self.clone();
        world.update(Arc::new(snapshot), &Changes::from([Change::Config(object.origin().clone())]));
        world
    }
}

/// The changes that lead from an empty snapshot to this one.
fn everything_in(snapshot: &Snapshot) -> Changes {
    let services = snapshot.services.keys().cloned().map(Change::Service);
    let workloads = snapshot.workloads.keys().cloned().map(Change::Workload);
    let objects = snapshot.config.keys().cloned().map(Change::Config);
    services.chain(workloads).chain(objects).collect()
}
