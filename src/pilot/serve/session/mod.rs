//! One proxy's side of the protocol as a pure state machine: requests and configurations go in, responses come out.
//!
//! The session knows what the proxy holds and sends what differs from that, each kind of resource on its own account (`Ledger`), at
//! most one response a kind at a time. Between the kinds it keeps the order in which nothing is missed: clusters, their endpoints,
//! listeners, routes and their virtual hosts; what is no longer needed goes last. A proxy acknowledges clusters only once they can be used,
//! so listeners and routes wait for that acknowledgement.
//!
//! It never sends a rejected form again and goes on with everything else. A configuration that comes while a response is out replaces
//! the one before it, so a slow proxy costs no more than a fast one.

mod blame;
mod ledger;
mod names;
mod subscription;
#[cfg(test)]
mod tests;

pub(in crate::pilot) use ledger::Rejection;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::compile::{Compiled, Resource, ResourceType};
use ledger::{Due, Ledger, Part, SharedAccounts};
use names::SharedNames;
use subscription::MAX_NAMES;

/// How many answers to unknown kinds may wait. A proxy that asks for more without reading is told nothing about them.
const MAX_UNKNOWN: usize = 16;

/// What a proxy says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::pilot) struct Request {
    pub(in crate::pilot) type_url: String,
    pub(in crate::pilot) subscribe: Vec<String>,
    pub(in crate::pilot) unsubscribe: Vec<String>,
    /// Versions that it holds from an earlier stream, by name.
    pub(in crate::pilot) held: BTreeMap<String, String>,
    /// The response that it answers; empty if it answers none.
    pub(in crate::pilot) nonce: String,
    /// Why it refuses that response.
    pub(in crate::pilot) error: Option<String>,
}

/// What a proxy is told.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pilot) struct Response {
    pub(in crate::pilot) type_url: Arc<str>,
    pub(in crate::pilot) nonce: u64,
    pub(in crate::pilot) resources: Vec<Arc<Resource>>,
    pub(in crate::pilot) removed: Vec<Arc<str>>,
}

/// What a request was, beside subscribing.
#[derive(Debug)]
pub(in crate::pilot) enum Verdict {
    /// No answer to a response that waits for one.
    None,
    /// The proxy took the response.
    Accepted(ResourceType),
    /// It did not. No rejection in here means that it is not known yet which resource is at fault.
    Refused { kind: ResourceType, message: String, blamed: Vec<Rejection> },
}

/// Why a stream has to end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::pilot) enum ProtocolError {
    #[error("a subscription to {0} names is too large: at most {MAX_NAMES} are served")]
    TooManyNames(usize),
}

/// How far a kind got: the nonces of the last response and of the last one that was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pilot) struct Progress {
    pub(in crate::pilot) sent: Option<u64>,
    pub(in crate::pilot) accepted: Option<u64>,
}

/// What sessions have in common. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(in crate::pilot) struct Shared {
    names: SharedNames,
    accounts: SharedAccounts,
}

/// The state of one stream.
#[derive(Debug)]
pub(in crate::pilot) struct Session {
    /// In the order of [`ResourceType::ALL`].
    ledgers: [Ledger; ResourceType::COUNT],
    current: Option<Compiled>,
    last_nonce: u64,
    /// Answers about kinds that are not served.
    unknown: VecDeque<Response>,
    greeted: BTreeSet<String>,
    shared: Shared,
}

// === impl Session ===

impl Session {
    /// A stream that begins; `shared` is what it has in common with all others.
    pub(in crate::pilot) fn new(shared: Shared) -> Self {
        let ledgers = ResourceType::ALL.map(Ledger::new);
        Self { ledgers, current: None, last_nonce: 0, unknown: VecDeque::new(), greeted: BTreeSet::new(), shared }
    }

    /// The proxy's configuration is this from now on.
    pub(in crate::pilot) fn update(&mut self, new: Compiled) {
        let old = self.current.replace(new);
        let Some(new) = &self.current else { return };
        for ledger in &mut self.ledgers {
            ledger.update(old.as_ref(), new, &self.shared);
        }
    }

    /// The proxy says something.
    ///
    /// # Errors
    /// When it asks for more than can be served.
    pub(in crate::pilot) fn request(&mut self, mut request: Request) -> Result<Verdict, ProtocolError> {
        let Some(kind) = ResourceType::of_type_url(&request.type_url) else {
            self.unknown_kind(request);
            return Ok(Verdict::None);
        };
        if kind == ResourceType::Endpoints {
            self.endpoints_asked_for(&mut request);
        }
        if kind == ResourceType::Route {
            self.tables_asked_for(&request);
        }
        let current = self.current.as_ref();
        let ledger = &mut self.ledgers[kind as usize];
        let answered = ledger.pending_nonce().is_some_and(|nonce| nonce_text(nonce) == request.nonce);
        let verdict = match (answered, request.error) {
            (false, _) => Verdict::None,
            (true, None) => {
                ledger.accept();
                Verdict::Accepted(kind)
            }
            (true, Some(message)) => {
                let blamed = ledger.refuse(&message, current).blamed;
                Verdict::Refused { kind, message, blamed }
            }
        };
        // Removed before added: a name in both lists is one that the proxy wants.
        ledger.unsubscribe(&request.unsubscribe, &self.shared);
        // An answer to a response subscribes to nothing, unless it says so.
        if request.nonce.is_empty() || !request.subscribe.is_empty() {
            let names = ledger.subscribe(request.subscribe, request.held, current, &self.shared);
            if names > MAX_NAMES {
                return Err(ProtocolError::TooManyNames(names));
            }
        }
        Ok(verdict)
    }

    /// Which endpoints the proxy can't use although it holds them: it would wait for ever if it were not told them again.
    ///
    /// They are those of a cluster that has left in a new form and waits for endpoints under the same name. And a proxy that comes back asks
    /// for clusters first, unless it waits for endpoints of a cluster that was changed.
    fn endpoints_asked_for(&self, request: &mut Request) {
        let clusters = &self.ledgers[ResourceType::Cluster as usize];
        if !clusters.is_subscribed() {
            return request.held.clear();
        }
        request.held.retain(|name, _| !clusters.is_under_way(name));
    }

    /// Which tables the proxy has, as far as it says so itself: hosts follow their table.
    fn tables_asked_for(&mut self, request: &Request) {
        let hosts = &mut self.ledgers[ResourceType::VirtualHost as usize];
        for table in &request.unsubscribe {
            hosts.table_is_dropped(table, self.current.as_ref());
        }
        for table in request.subscribe.iter().filter(|table| request.held.contains_key(*table)) {
            hosts.table_is_held(table.as_str().into());
        }
    }

    /// The next response that the proxy should get now, if there is any.
    pub(in crate::pilot) fn next(&mut self) -> Option<Response> {
        if let Some(answer) = self.unknown.pop_front() {
            return Some(answer);
        }
        let current = self.current.clone()?;
        let (kind, part) = self.next_part(&current)?;
        self.last_nonce += 1;
        let parcel = self.ledgers[kind as usize].take(part, self.last_nonce);
        if kind == ResourceType::Cluster {
            // A cluster in a new form starts without endpoints, and a proxy does not ask again for those that it already subscribes to.
            let endpoints = &mut self.ledgers[ResourceType::Endpoints as usize];
            let clusters = parcel.resources.iter().filter(|_| endpoints.is_subscribed());
            let repeated: Vec<_> = clusters.filter_map(|cluster| current.get(ResourceType::Endpoints, &cluster.name)).collect();
            repeated.into_iter().for_each(|resource| endpoints.repeat(resource));
        }
        if kind == ResourceType::Route {
            let hosts = &mut self.ledgers[ResourceType::VirtualHost as usize];
            for table in &parcel.resources {
                hosts.table_is_sent(&table.name, parcel.new.contains(&table.name), &current);
            }
        }
        Some(Response { type_url: kind.type_url().into(), nonce: self.last_nonce, resources: parcel.resources, removed: parcel.removed })
    }

    /// Which part of which kind is next.
    fn next_part(&mut self, current: &Compiled) -> Option<(ResourceType, Part)> {
        use ResourceType::{Cluster, Endpoints, Listener, Name, Route, Secret, VirtualHost};
        let mut due = [Due::default(); ResourceType::COUNT];
        let mut free = [false; ResourceType::COUNT];
        for (at, ledger) in self.ledgers.iter_mut().enumerate() {
            due[at] = ledger.due(current);
            free[at] = !ledger.is_pending();
        }
        let (adds, removes) = (|kind| due[kind as usize].additions, |kind| due[kind as usize].removals);
        let free = |kind| free[kind as usize];
        let quiet = |kind| free(kind) && !adds(kind);

        // Whatever asks for a secret waits for it, so nothing is to be waited for before it is sent; and it names nothing else. Names stand
        // by themselves.
        for kind in [Secret, Name] {
            if free(kind) && (adds(kind) || removes(kind)) {
                return Some((kind, Part::Both));
            }
        }
        for kind in [Cluster, Endpoints] {
            if free(kind) && adds(kind) {
                return Some((kind, Part::Additions));
            }
        }
        let hosts = Self::next_hosts(quiet(Cluster) && free(VirtualHost), due[VirtualHost as usize], due[Route as usize]);
        let may = |kind| quiet(Cluster) && free(kind) && (adds(kind) || removes(kind));
        // A proxy takes a listener away before it adds others of the same response, so a removed one does not block a new one's address.
        match hosts {
            _ if may(Listener) => return Some((Listener, Part::Both)),
            Some(Part::Removals) => return Some((VirtualHost, Part::Removals)),
            _ if may(Route) => return Some((Route, Part::Both)),
            Some(part) => return Some((VirtualHost, part)),
            None => {}
        }
        let unused = |kind| quiet(kind) && !removes(kind);
        // Whoever refuses a listener, or routes, goes on with the one before, which may lead to a cluster that is to go.
        let keeps_old = [Listener, Route, VirtualHost].into_iter().any(|kind| self.ledgers[kind as usize].lags());
        if keeps_old {
            return None;
        }
        if quiet(Cluster) && [Listener, Route, VirtualHost].into_iter().all(unused) && removes(Cluster) {
            return Some((Cluster, Part::Removals));
        }
        (unused(Cluster) && quiet(Endpoints) && removes(Endpoints)).then_some((Endpoints, Part::Removals))
    }

    /// Which part of what is due of virtual hosts is next, if they may be sent. A domain may pass between a host and its table, and Envoy
    /// refuses what would have one twice. So while a table waits, hosts only go: those that come follow it.
    fn next_hosts(may: bool, hosts: Due, tables: Due) -> Option<Part> {
        let table_waits = tables.additions || tables.removals;
        match (may, hosts.additions, hosts.removals) {
            (true, _, true) if table_waits => Some(Part::Removals),
            (true, true, _) | (true, _, true) if !table_waits => Some(Part::Both),
            _ => None,
        }
    }

    /// Answers that there is nothing of a kind that is not served: once in general, and to each name that is asked for.
    fn unknown_kind(&mut self, request: Request) {
        let first = self.greeted.len() < MAX_UNKNOWN && self.greeted.insert(request.type_url.clone());
        let names: Vec<Arc<str>> = request.subscribe.iter().filter(|name| *name != "*").map(|name| name.as_str().into()).collect();
        if (first || !names.is_empty()) && self.unknown.len() < MAX_UNKNOWN {
            tracing::debug!(type_url = request.type_url, "kind of resource that is not served");
            self.last_nonce += 1;
            let answer = Response { type_url: request.type_url.into(), nonce: self.last_nonce, resources: Vec::new(), removed: names };
            self.unknown.push_back(answer);
        }
    }

    /// Whether the proxy has everything and has said so.
    pub(in crate::pilot) fn is_settled(&self) -> bool {
        self.ledgers.iter().all(Ledger::is_settled)
    }

    /// Whether the proxy has a resource as it should, or has refused it.
    pub(in crate::pilot) fn has_settled(&self, kind: ResourceType, name: &str) -> bool {
        self.ledgers[kind as usize].has_settled(name)
    }

    /// How far a kind got, as of the last call of [`Self::next`].
    pub(in crate::pilot) fn progress(&self, kind: ResourceType) -> Progress {
        self.ledgers[kind as usize].progress()
    }

    /// What the proxy refuses at present.
    pub(in crate::pilot) fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.ledgers.iter().flat_map(Ledger::rejections)
    }
}

/// A nonce as it stands in messages.
pub(in crate::pilot) fn nonce_text(nonce: u64) -> String {
    format!("{nonce:x}")
}
