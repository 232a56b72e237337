//! Objects that spoil configurations, and what is served in their place.
//!
//! What is compiled is not the mesh as the cluster has it, but the mesh without what is known to be bad: in place of such an object's
//! present form stands its last good one, or nothing if there was none. An object comes out of here when it changes.

mod form;
mod history;
mod search;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    form::Form,
    history::{DEPTH, History},
    search::{Search, Step},
};
use super::problems::Problem;
use crate::model::{Change, Changes, ObjectRef, Snapshot};

/// The mesh, and what of it is served.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// As the cluster has it.
    actual: Arc<Snapshot>,
    /// As it is compiled.
    served: Arc<Snapshot>,
    history: History,
    withheld: BTreeMap<ObjectRef, Withheld>,
    /// Objects at fault that are served all the same.
    tolerated: BTreeMap<ObjectRef, Tolerated>,
    known: bool,
}

#[derive(Debug)]
struct Withheld {
    /// The form that is kept from proxies.
    bad: Form,
    /// The form that they get.
    served: Form,
    problem: Problem,
}

#[derive(Debug)]
struct Tolerated {
    problem: Problem,
    /// Whose proxies complained.
    namespaces: BTreeSet<Arc<str>>,
}

/// One object in an earlier form, or without any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) object: ObjectRef,
    form: Form,
}

/// The search for the object at fault.
#[derive(Debug)]
pub(super) struct Inquiry {
    moves: Vec<Move>,
    search: Search,
}

/// What an inquiry needs next.
#[derive(Debug)]
pub(super) enum Next {
    /// Whether that mesh, which differs in so much from the one that is served, is still broken.
    Verdict(Arc<Snapshot>, Changes),
    /// Nothing: this is it.
    Culprit(Move),
    /// Nothing: no object is at fault, or none that may be taken away.
    Nobody,
}

// === impl Quarantine ===

impl Quarantine {
    /// Takes the cluster's next snapshot. Returns what is to be compiled and what differs in it, and whether a problem is gone.
    pub(super) fn advance(&mut self, actual: Arc<Snapshot>, mut changes: Changes) -> (Arc<Snapshot>, Changes, bool) {
        let old = std::mem::replace(&mut self.actual, actual);
        let before = (self.withheld.len(), self.tolerated.len());
        if std::mem::replace(&mut self.known, true) {
            self.note_changes(&old, &changes);
        }
        let mut served = Arc::clone(&self.actual);
        for (object, withheld) in &self.withheld {
            changes.extend(withheld.served.put(object, Arc::make_mut(&mut served)));
        }
        self.served = served.clone();
        (served, changes, before != (self.withheld.len(), self.tolerated.len()))
    }

    fn note_changes(&mut self, old: &Snapshot, changes: &Changes) {
        let new = self.actual.clone();
        for change in changes {
            match change {
                Change::Config(object) => self.object_changed(object, Form::of(object, old), &Form::of(object, &new)),
                Change::Service(key) => {
                    let (before, after) = (old.services.get(key), new.services.get(key));
                    // That of a ServiceEntry changes with its object.
                    if let Some(service) = before.or(after).filter(|service| service.origin.kind == "Service") {
                        self.object_changed(&service.origin, Form::of_service(before), &Form::of_service(after));
                    }
                }
                Change::Mesh | Change::Endpoints(_) | Change::Workload(_) | Change::Secret(_) => {}
            }
        }
    }

    fn object_changed(&mut self, object: &ObjectRef, before: Form, now: &Form) {
        let is_bad = |bad: Option<&Form>| bad.is_some_and(|bad| bad == now);
        if before == *now || is_bad(self.withheld.get(object).map(|it| &it.bad)) {
            return;
        }
        self.tolerated.remove(object);
        // What was served is the last good form, not what the cluster had.
        let good = self.withheld.remove(object).map_or(before, |withheld| withheld.served);
        match now.is_absent() {
            true => self.history.forget(object),
            false => self.history.note(object, good),
        }
    }

    /// An inquiry among these objects, and after them, if `everywhere`, among all others: what changed last is suspected first.
    pub(super) fn inquire(&self, suspects: &[ObjectRef], everywhere: bool) -> Inquiry {
        let mut moves = self.moves(suspects.iter());
        if everywhere {
            moves.extend(self.moves(self.served.config.keys().filter(|object| !suspects.contains(object))));
        }
        Inquiry { search: Search::among(moves.len()), moves }
    }

    /// The ways back, the likely ones first: to earlier forms, the latest change first; then without the object, those first that reach
    /// less far.
    fn moves<'a>(&self, objects: impl Iterator<Item = &'a ObjectRef>) -> Vec<Move> {
        let mut objects: Vec<_> = objects.map(|object| (object, std::cmp::Reverse(self.history.changed(object)))).collect();
        objects.sort_by_key(|(object, changed)| (*changed, *object));
        let earlier = (0..DEPTH).flat_map(|depth| {
            let form = move |object: &ObjectRef| self.history.form(object, depth).cloned();
            objects.iter().filter_map(move |&(object, _)| Some(Move { object: object.clone(), form: form(object)? }))
        });
        let mut moves: Vec<_> = earlier.collect();
        objects.sort_by_key(|(object, changed)| (reach(object.kind), *changed, *object));
        let without = objects.iter().filter(|(object, _)| may_be_absent(object.kind));
        moves.extend(without.map(|(object, _)| Move { object: (*object).clone(), form: Form::default() }));
        moves
    }

    /// What the next step of an inquiry is.
    pub(super) fn next(&self, inquiry: &Inquiry) -> Next {
        match inquiry.search.step() {
            Step::Found(place) => Next::Culprit(inquiry.moves[place].clone()),
            Step::Hopeless => Next::Nobody,
            Step::Try(count) => {
                let (mut mesh, mut changes) = ((*self.served).clone(), Changes::new());
                for Move { object, form } in &inquiry.moves[..count] {
                    changes.extend(form.put(object, &mut mesh));
                }
                Next::Verdict(Arc::new(mesh), changes)
            }
        }
    }

    /// Serves the other form of the object that an inquiry found, until the object changes. Returns what is to be compiled, and what
    /// differs in it.
    pub(super) fn withhold(&mut self, culprit: Move, problem: Problem) -> (Arc<Snapshot>, Changes) {
        let Move { object, form } = culprit;
        self.history.rewind(&object, &form);
        self.tolerated.remove(&object);
        let changes = form.put(&object, Arc::make_mut(&mut self.served));
        let bad = Form::of(&object, &self.actual);
        self.withheld.insert(object, Withheld { bad, served: form, problem });
        (self.served.clone(), changes)
    }

    /// Notes that a proxy of that namespace complains about an object, and serves it all the same, because one namespace's proxy must not
    /// take away from the others what is not its own. Returns whether proxies of several namespaces complain.
    pub(super) fn tolerate(&mut self, object: &ObjectRef, namespace: &Arc<str>, problem: Problem) -> bool {
        let entry = self.tolerated.entry(object.clone());
        let tolerated = entry.or_insert_with(|| Tolerated { problem, namespaces: BTreeSet::new() });
        tolerated.namespaces.insert(namespace.clone());
        tolerated.namespaces.len() > 1
    }

    /// The namespace whose objects hold for the whole mesh, and whose proxies the mesh's owner runs.
    pub(super) fn root_namespace(&self) -> &str {
        &self.actual.mesh.root_namespace
    }

    /// What is wrong with which objects.
    pub(super) fn problems(&self) -> BTreeMap<ObjectRef, Problem> {
        let withheld = self.withheld.iter().map(|(object, it)| (object.clone(), it.problem.clone()));
        let tolerated = self.tolerated.iter().map(|(object, it)| (object.clone(), it.problem.clone()));
        tolerated.chain(withheld).collect()
    }
}

// === impl Move ===

impl Move {
    /// Whether the object is gone in it.
    pub(super) fn is_absence(&self) -> bool {
        self.form.is_absent()
    }
}

// === impl Inquiry ===

impl Inquiry {
    /// Whether the mesh that [`Quarantine::next`] gave is free of what is wrong.
    pub(super) fn tell(&mut self, mended: bool) {
        if let Step::Try(count) = self.search.step() {
            self.search.tell(count, mended);
        }
    }
}

/// How much of a configuration a kind makes: an object that makes all of a resource is suspected after those that change a part of it,
/// because without it there is no resource left that could be wrong.
fn reach(kind: &str) -> u8 {
    match kind {
        "EnvoyFilter" => 0,
        "WasmPlugin" | "TrafficExtension" | "Telemetry" | "ProxyConfig" => 1,
        "DestinationRule" => 2,
        "VirtualService" => 3,
        "Sidecar" => 4,
        "WorkloadEntry" | "WorkloadGroup" => 5,
        "Gateway" => 6,
        "ServiceEntry" => 7,
        _ => 8,
    }
}

/// Whether a mesh may go on without an object of that kind. Without one that forbids something, everything would be allowed, and without a
/// Service nothing is left that could be wrong: where such an object has no earlier form, proxies keep the configuration that they have.
fn may_be_absent(kind: &str) -> bool {
    !matches!(
        kind,
        "Service"
            | "AuthorizationPolicy"
            | "PeerAuthentication"
            | "RequestAuthentication"
            | "Policy"
            | "MeshPolicy"
            | "RbacConfig"
            | "ClusterRbacConfig"
            | "ServiceRole"
            | "ServiceRoleBinding"
    )
}
