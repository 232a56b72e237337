//! What does this proxy get from this snapshot? A pure function from [`Snapshot`] and [`Proxy`] to Envoy's resources.
//!
//! The single entry is [`Compiler`]; [`compile`] is the same from nothing, for whoever asks once. The result depends on the snapshot
//! and the proxy alone: no clock, no environment, and the same input gives the same bytes.
//!
//! # What is compiled
//!
//! `recipe` lists the resources that there may be. `cluster`, `endpoints`, `listener` and `route` make them, each with the reference's
//! names; `tls`, `server_tls`, `credentials`, `mtls` and `tokens` say who is trusted; `policy`, `virtual_services`, `visibility`,
//! `gateways` and `workload_ports` answer which objects count for whom; `destination` says where a route leads and `hashing` and `locality`
//! what decides the endpoint, `networks` how it is reached; `names` what agents answer when applications ask for hosts; `remote` has the
//! servers that proxies fetch code and keys from; `whole_table` puts tables together again whose hosts are sent one by one; `name_lookup`
//! has what finds hosts by the names in requests; `retriable` tells clients' proxies what may go to another endpoint. `extension` puts
//! users' code into what was made, `patch` their changes; what of these can't be applied is left out, and kept beside it as a [`Fault`].
//! `grpc` makes of the same what gRPC libraries take, which speak xDS without an Envoy.
//!
//! # How work is shared
//!
//! Compiling reads through a `Scope`, which notes each fact of the proxy (its namespace, one of its labels, whether an address is its
//! own) and each input of the mesh (one service, the endpoints of another) that was asked for. A compiled resource is kept under the
//! facts that it read, so all proxies that agree on these share its bytes; and when the mesh changes, only resources that read what
//! changed are compiled again. Nobody lists by hand what a resource depends on.
//!
//! Resources are kept in *sections* (say, all outbound clusters), which proxies share as a whole. So a change that concerns one
//! service costs that service's resources once for each scope, and a pointer's comparison for each proxy.
//!
//! # How pilot uses it
//!
//! ```text
//! let mut compiler = Compiler::new(snapshot);           // at start
//! compiler.advance(snapshot, &changes);                 // on each change: marks, compiles nothing
//! let new = compiler.compile(&proxy);                   // for a session that begins: mostly lookups
//! let new = compiler.compile_again(&proxy, &old);       // for each that goes on: a number's comparison where nothing changed
//! for difference in new.differences(old.as_ref(), kind) // in the order of ResourceType::ALL
//! compiler.tidy();                                      // when all have been told
//! ```

mod by_host;
mod cluster;
mod credentials;
mod destination;
mod endpoints;
mod extension;
mod facts;
mod failure;
mod fault;
#[cfg(test)]
pub(crate) mod fixture;
mod gateways;
mod grpc;
mod hashing;
mod input;
mod listener;
mod locality;
mod memo;
mod mesh;
mod message;
mod mtls;
mod name_lookup;
mod names;
mod naming;
mod networks;
mod patch;
mod policy;
mod proxy;
mod recipe;
mod remote;
mod resource;
mod retriable;
mod route;
mod scope;
mod section;
mod server_tls;
mod tls;
mod tokens;
mod virtual_services;
mod visibility;
mod whole_table;
mod workload_ports;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use failure::Failure;
pub use fault::{Fault, FaultCause};
pub use naming::table_and_host;
pub use patch::unreadable_patches;
pub use proxy::Proxy;
pub use resource::{Resource, ResourceType};
pub use whole_table::WholeTable;

use envoy_api::envoy::config::bootstrap::v3::Bootstrap;
use foldhash::fast::FixedState;

use crate::model::{Changes, ObjectRef, SecretKey, Snapshot};
use facts::Variants;
use memo::Memo;
use mesh::Mesh;
use scope::Scope;
use section::{Section, SectionKind, SectionState};

/// After so many snapshots, what no proxy has or asked for meanwhile is forgotten. Bounds memory at the price of compiling it again.
const SNAPSHOTS_BETWEEN_SWEEPS: u64 = 64;

/// Compiles, and remembers what it compiled.
#[derive(Debug)]
pub struct Compiler {
    mesh: Mesh,
    memo: Memo,
    sections: BTreeMap<SectionKind, Variants<SectionState>>,
    /// The numbers of those that are up to date.
    current: HashSet<u64, FixedState>,
    /// Shared with its forks, so that one number never stands for two sections.
    next_section: Arc<AtomicU64>,
    generation: u64,
    /// The generation in which it was last swept.
    swept: u64,
    /// Whether what [`Compiler::faults`] says may differ from what it said when somebody last asked.
    faults_differ: bool,
}

/// All resources of one proxy at one snapshot. Cheap to clone and to keep: proxies share its parts.
#[derive(Clone, Debug)]
pub struct Compiled {
    sections: Vec<Arc<Section>>,
}

/// One resource that differs between two [`Compiled`].
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name.
    pub name: Arc<str>,
    /// Its new form; `None` if it is gone.
    pub resource: Option<Arc<Resource>>,
}

/// The port of a gateway's pod that serves the port that clients call: as its Services say, the lowest of several; else the same.
pub fn gateway_port(snapshot: &Arc<Snapshot>, gateway: &Proxy, called: u16) -> u16 {
    let mesh = Mesh::of(snapshot.clone());
    workload_ports::ports_called(&Scope::new(&mesh, gateway), called).first().copied().unwrap_or(called)
}

/// What a proxy gets from a snapshot, from nothing. [`Compiler`] gives the same at the cost of what changed.
pub fn compile(snapshot: Arc<Snapshot>, proxy: &Proxy) -> Compiled {
    Compiler::new(snapshot).compile(proxy)
}

// === impl Compiler ===

impl Compiler {
    /// A compiler for that snapshot, with nothing compiled.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            mesh: Mesh::of(snapshot),
            memo: Memo::default(),
            sections: BTreeMap::new(),
            current: HashSet::default(),
            next_section: Arc::new(AtomicU64::new(1)),
            generation: 0,
            swept: 0,
            faults_differ: true,
        }
    }

    /// Takes the next snapshot. `changes` must name all that differs from the one before; it may name more. Costs the size of the
    /// change; nothing is compiled before a proxy asks.
    pub fn advance(&mut self, snapshot: Arc<Snapshot>, changes: &Changes) {
        self.generation += 1;
        let dirty = self.mesh.advance(snapshot, changes);
        let recipes = self.memo.invalidate(&dirty);
        for state in self.sections.values_mut().flat_map(Variants::iter_mut) {
            state.invalidate(&dirty, &recipes);
            if state.current().is_none() {
                self.current.remove(&state.id());
                self.faults_differ |= state.is_faulty();
            }
        }
    }

    /// Another compiler that knows all that this one knows, for a snapshot that never was. What both compile can be compared with
    /// each other at the cost of what differs. `changes` must name all that differs from this compiler's snapshot.
    #[must_use]
    pub fn fork(&self, snapshot: Arc<Snapshot>, changes: &Changes) -> Self {
        let (mesh, memo, sections, current) = (self.mesh.clone(), self.memo.clone(), self.sections.clone(), self.current.clone());
        let (next_section, generation, swept) = (self.next_section.clone(), self.generation, self.swept);
        let mut fork = Self { mesh, memo, sections, current, next_section, generation, swept, faults_differ: true };
        fork.advance(snapshot, changes);
        fork
    }

    /// The snapshot that is being compiled.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.mesh.snapshot
    }

    /// What that proxy gets from the current snapshot.
    pub fn compile(&mut self, proxy: &Proxy) -> Compiled {
        let kinds = SectionKind::of(proxy);
        Compiled { sections: kinds.iter().map(|kind| self.section(*kind, proxy)).collect() }
    }

    /// The same for a proxy that got `last` from this compiler, or from a fork of it, and is what it was then. Parts of it that are up to
    /// date are not looked for.
    pub fn compile_again(&mut self, proxy: &Proxy, last: &Compiled) -> Compiled {
        let parts = SectionKind::of(proxy).iter().zip(&last.sections);
        let again = |(kind, part): (&SectionKind, &Arc<Section>)| match self.current.contains(&part.id) {
            true => part.clone(),
            false => self.section(*kind, proxy),
        };
        Compiled { sections: parts.map(again).collect() }
    }

    /// The Secrets of which anything that is kept depends: those that proxies need, and some that they lately did.
    pub fn secrets(&self) -> &BTreeSet<SecretKey> {
        self.memo.secrets()
    }

    /// The configuration with which a proxy starts, with what users change in it; and what of that can't be applied.
    pub fn bootstrap(&self, proxy: &Proxy, own: Bootstrap) -> (Bootstrap, BTreeSet<Fault>) {
        let scope = Scope::new(&self.mesh, proxy);
        let changed = patch::bootstrap(&scope, own);
        (changed, scope.into_notes().faults)
    }

    /// What is left out of what proxies get at present, each once, sorted; `None` if that is what it was when somebody last asked.
    ///
    /// A rule for everybody names a Secret for gateways of all namespaces, and lies in one of them: it is at fault where none has it.
    pub fn faults(&mut self) -> Option<BTreeSet<Fault>> {
        if !std::mem::take(&mut self.faults_differ) {
            return None;
        }
        let sections: Vec<_> = self.sections.values().flat_map(Variants::iter).filter_map(SectionState::current).collect();
        let found = |name: &str, object: &ObjectRef| {
            let named = sections.iter().filter_map(|section| section.resources.get(name));
            named.into_iter().any(|secret| secret.kind == ResourceType::Secret && secret.sources.contains(object))
        };
        let stands = |fault: &&Fault| match &fault.cause {
            FaultCause::Secret(name) if fault.object.kind == "DestinationRule" => !found(name, &fault.object),
            _ => true,
        };
        Some(sections.iter().flat_map(|section| section.faults.iter()).filter(stands).cloned().collect())
    }

    fn section(&mut self, kind: SectionKind, proxy: &Proxy) -> Arc<Section> {
        let variants = self.sections.entry(kind).or_default();
        if let Some(state) = variants.find_mut(proxy) {
            state.used = self.generation;
            if let Some(section) = state.current() {
                return section.clone();
            }
        }
        let mut state = variants.take(proxy).unwrap_or_else(|| SectionState::empty(kind));
        let id = self.next_section.fetch_add(1, Ordering::Relaxed);
        let was_faulty = state.is_faulty();
        let section = state.update(&mut self.memo, &self.mesh, proxy, id);
        self.current.insert(section.id);
        // A Secret that is found in one place may speak for an object that misses it in another.
        self.faults_differ |= was_faulty || state.is_faulty() || kind == SectionKind::Secrets;
        state.used = self.generation;
        let facts = state.facts().clone();
        variants.insert(&facts, proxy, state);
        section
    }

    /// Forgets what no proxy has or lately asked for, once in so many snapshots. It looks at all that is kept, which takes milliseconds in a
    /// large mesh: for when proxies have been told of the last change.
    pub fn tidy(&mut self) {
        if self.generation - self.swept < SNAPSHOTS_BETWEEN_SWEEPS {
            return;
        }
        (self.swept, self.faults_differ) = (self.generation, true);
        let oldest = self.generation.saturating_sub(SNAPSHOTS_BETWEEN_SWEEPS);
        for variants in self.sections.values_mut() {
            // Who holds a section does not ask for it while it is up to date.
            variants.retain(|state| {
                let is_kept = state.used >= oldest || state.is_held();
                if !is_kept {
                    self.current.remove(&state.id());
                }
                is_kept
            });
        }
        self.memo.sweep();
    }

    /// How many distinct resources are kept, and how many sections: what sharing achieves.
    pub fn kept(&self) -> (usize, usize) {
        (self.memo.len(), self.sections.values().map(Variants::len).sum())
    }
}

// === impl Compiled ===

impl Compiled {
    /// A resource by its name.
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.of(kind).find_map(|section| section.resources.get(name))
    }

    /// All resources of a kind, sorted by name.
    pub fn resources(&self, kind: ResourceType) -> Vec<&Arc<Resource>> {
        let mut all: Vec<_> = self.each(kind).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Its resources of a kind, in no order.
    pub(crate) fn each(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        self.of(kind).flat_map(|section| section.resources.values())
    }

    /// The numbers of its parts of a kind: where they are equal, so are all resources of the kind.
    pub(crate) fn parts(&self, kind: ResourceType) -> impl Iterator<Item = u64> {
        self.of(kind).map(|section| section.id)
    }

    /// What was left out, each once, sorted.
    pub fn faults(&self) -> BTreeSet<&Fault> {
        self.sections.iter().flat_map(|section| section.faults.iter()).collect()
    }

    /// Whether both share all their parts, so that nothing differs. Costs a few comparisons of pointers, whatever the mesh's size.
    pub fn same_as(&self, other: &Self) -> bool {
        self.sections.len() == other.sections.len() && self.sections.iter().zip(&other.sections).all(|(own, other)| Arc::ptr_eq(own, other))
    }

    /// What must be sent to turn `old` into this: sorted by name, empty if nothing differs. The cost is that of the change where
    /// `old` is the result for the snapshot before, or any later one.
    pub fn differences(&self, old: Option<&Self>, kind: ResourceType) -> Vec<Difference> {
        let mut differences: Vec<_> = self
            .sections
            .iter()
            .enumerate()
            .filter(|(_, section)| section.kind == kind)
            .flat_map(|(place, section)| {
                let old = old.and_then(|old| old.sections.get(place)).map(|old| &**old);
                section.names_that_differ(old).into_iter().map(|name| Difference { resource: section.resources.get(&name).cloned(), name })
            })
            .collect();
        differences.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        differences
    }

    /// What is not as the snapshot says, because the compiler failed on it.
    pub fn failures(&self) -> impl Iterator<Item = &Arc<Failure>> {
        self.sections.iter().flat_map(|section| &section.failures)
    }

    fn of(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Section>> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }
}
