//! The account of one kind of resource with one proxy: what it wants, what it has, what it is owed.

mod hosts;
mod refusal;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{Progress, names::SharedNames, subscription::Subscription};
use crate::compile::{Compiled, Resource, ResourceType};
use refusal::Rejected;

pub(in crate::pilot) use refusal::Rejection;

/// The form of a resource that the proxy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// None, and it does not wait for one.
    Nothing,
    /// The one of that hash.
    Form(u64),
    /// Not known, or it waits for an answer: whatever is current must be sent, its absence too.
    Unknown,
}

/// A name whose form may differ from the one that the proxy holds.
#[derive(Debug)]
struct Owed {
    held: Held,
    /// The form that it shall hold; none if the resource is gone.
    due: Option<Arc<Resource>>,
}

/// What a response was about, until the proxy has answered it.
#[derive(Debug)]
struct Pending {
    nonce: u64,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    name: Arc<str>,
    before: Held,
    /// None for a removal.
    sent: Option<Arc<Resource>>,
}

/// What is to be sent of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Something new, something changed, or an answer that is waited for.
    pub(super) additions: bool,
    /// Something that the proxy still holds and shall lose.
    pub(super) removals: bool,
}

/// Which part of what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Additions,
    Removals,
    Both,
}

/// What leaves in one response.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) removed: Vec<Arc<str>>,
    /// Of tables: those of `resources` of which the proxy has no form before, as far as is known.
    pub(super) new: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    kind: ResourceType,
    subscription: Subscription,
    /// The versions that a proxy brought along, until there is a configuration to compare them with. Only for what is not asked for by
    /// name.
    brought: Option<BTreeMap<Arc<str>, Held>>,
    /// What is not in here, the proxy holds as the configuration has it.
    owed: BTreeMap<Arc<str>, Owed>,
    /// Groups of owed names that are to be sent apart, after a refusal that named none of them.
    groups: VecDeque<BTreeSet<Arc<str>>>,
    pending: Option<Pending>,
    rejected: BTreeMap<Arc<str>, Rejected>,
    /// Whether a new proxy waits for a first answer, even if there is nothing to tell.
    greeting: bool,
    /// Nonces of the last response and of the last one that was accepted.
    sent: Option<u64>,
    accepted: Option<u64>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            subscription: Subscription::none_yet(kind),
            brought: None,
            owed: BTreeMap::new(),
            groups: VecDeque::new(),
            pending: None,
            rejected: BTreeMap::new(),
            greeting: false,
            sent: None,
            accepted: None,
        }
    }

    /// The proxy wants to hear of these. `held` are the versions that it brought along. Returns how many names it is subscribed to.
    pub(super) fn subscribe(&mut self, names: Vec<String>, mut held: BTreeMap<String, String>, current: Option<&Compiled>) -> usize {
        if self.kind == ResourceType::VirtualHost {
            self.subscribe_to_hosts(held, current);
            return self.subscription.len();
        }
        let subscription = &mut self.subscription;
        let first = subscription.begin();
        let had_everything = subscription.is_everything();
        // Older than the name `*`: a first request for clusters or listeners without any name is for all of them.
        if first && names.is_empty() && matches!(self.kind, ResourceType::Cluster | ResourceType::Listener) {
            subscription.add_everything();
        }
        let fresh = held.is_empty();
        for name in names {
            let due = current.and_then(|current| current.get(self.kind, &name)).cloned();
            let Some(name) = subscription.add(name, due.as_ref().map(|resource| &resource.name)) else { continue };
            // Perhaps asked for again: whoever asks waits for an answer, even if it was given before.
            let held = held.remove(&*name).map_or(Held::Unknown, |version| Held::of_version(&version));
            self.owed.insert(name, Owed { held, due });
        }
        if subscription.is_everything() && !had_everything {
            self.greeting = fresh;
            self.brought = Some(held.into_iter().map(|(name, version)| (name.into(), Held::of_version(&version))).collect());
            if let Some(current) = current {
                self.begin(current);
            }
        }
        self.subscription.len()
    }

    /// The proxy does not want to hear of these any more.
    pub(super) fn unsubscribe(&mut self, names: &[String]) {
        // A proxy has the hosts of each table that it has: for these alone it can't say that it wants none.
        if self.kind == ResourceType::VirtualHost {
            return;
        }
        let subscription = &mut self.subscription;
        subscription.remove(names);
        self.owed.retain(|name, _| subscription.covers(name));
        self.rejected.retain(|name, _| subscription.covers(name));
    }

    /// Keeps the names of the subscription where other proxies have the same ones.
    pub(super) fn share_names(&mut self, shared: &SharedNames) {
        self.subscription.share(shared);
    }

    /// Begins a subscription to everything: all is owed but what the proxy brought along.
    fn begin(&mut self, current: &Compiled) {
        if self.kind == ResourceType::VirtualHost {
            return self.begin_hosts(current);
        }
        for (name, held) in self.brought.take().into_iter().flatten() {
            self.owed.insert(name, Owed { held, due: None });
        }
        if self.owed.is_empty() {
            // A new proxy misses all: the map is made at once, without a search for each of thousands of names.
            let missed = |resource: &Arc<Resource>| (resource.name.clone(), Owed { held: Held::Nothing, due: Some(resource.clone()) });
            self.owed = current.each(self.kind).map(missed).collect();
            return;
        }
        for resource in current.each(self.kind) {
            let owed = self.owed.entry(resource.name.clone()).or_insert(Owed { held: Held::Nothing, due: None });
            owed.due = Some(resource.clone());
        }
    }

    /// The configuration changes from `old` to `new`.
    pub(super) fn update(&mut self, old: Option<&Compiled>, new: &Compiled) {
        if !self.is_subscribed() {
            return;
        }
        let Some(old) = old else {
            // The first one: whatever was asked for by name is owed already.
            for (name, owed) in &mut self.owed {
                owed.due = new.get(self.kind, name).cloned();
            }
            return self.begin(new);
        };
        for difference in new.differences(Some(old), self.kind) {
            if !self.subscription.covers(&difference.name) {
                continue;
            }
            let rejected = self.rejected.get(&difference.name);
            let held = match (rejected, old.get(self.kind, &difference.name)) {
                (Some(rejected), _) => rejected.held,
                (None, Some(resource)) => Held::Form(resource.hash),
                (None, None) => Held::Nothing,
            };
            let due = difference.resource;
            match self.owed.get_mut(&difference.name) {
                Some(owed) => owed.due = due,
                None => _ = self.owed.insert(difference.name, Owed { held, due }),
            }
        }
    }

    /// Owes a resource again, if the proxy subscribed to it.
    pub(super) fn repeat(&mut self, resource: &Arc<Resource>) {
        if self.subscription.covers(&resource.name) {
            self.owed.insert(resource.name.clone(), Owed { held: Held::Unknown, due: Some(resource.clone()) });
        }
    }

    /// Whether the proxy has asked for anything of the kind.
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscription.has_begun()
    }

    /// Whether a response waits for the proxy's answer.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The nonce of the response that waits for the proxy's answer.
    pub(super) fn pending_nonce(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.nonce)
    }

    /// The names of what was sent and has not been answered.
    pub(super) fn under_way(&self) -> BTreeSet<&str> {
        let items = self.pending.iter().flat_map(|pending| &pending.items);
        items.filter(|item| item.sent.is_some()).map(|item| &*item.name).collect()
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_none() && self.owed.is_empty() && self.brought.is_none() && !self.greeting
    }

    /// Whether nothing is to be said about a resource, and nothing waits for an answer that was.
    pub(super) fn has_settled(&self, name: &str) -> bool {
        let waits = |pending: &Pending| pending.items.iter().any(|item| *item.name == *name);
        !self.owed.contains_key(name) && !self.pending.as_ref().is_some_and(waits)
    }

    /// How far it got. A proxy that came back and misses nothing has accepted response 0, which nobody had to send.
    pub(super) fn progress(&self) -> Progress {
        match self.sent {
            None if self.is_subscribed() && self.is_settled() => Progress { sent: Some(0), accepted: Some(0) },
            sent => Progress { sent, accepted: self.accepted },
        }
    }

    /// What is to be sent. Forgets what turned out to be no difference.
    pub(super) fn due(&mut self, current: &Compiled) -> Due {
        let mut due = Due { additions: self.greeting, removals: false };
        let (kind, rejected) = (self.kind, &self.rejected);
        self.owed.retain(|name, owed| {
            match Move::of(owed, rejected.get(name)) {
                Move::None => return false,
                Move::Send(_) | Move::Answer => due.additions = true,
                Move::Remove => due.removals = true,
            }
            true
        });
        // A rejection is history once the configuration has moved on from the rejected form and nothing is left to say about it.
        let owed = &self.owed;
        let is_current = |name: &str, rejected: &Rejected| current.get(kind, name).is_some_and(|resource| rejected.is_of(resource));
        self.rejected.retain(|name, rejected| owed.contains_key(name) || is_current(name, rejected));
        due
    }

    /// Takes what is due for a response of that nonce.
    pub(super) fn take(&mut self, part: Part, nonce: u64) -> Parcel {
        let (parcel, items) = loop {
            let group = self.next_group();
            let (parcel, items) = self.collect(part, group.as_ref());
            if group.is_none() || !items.is_empty() {
                break (parcel, items);
            }
        };
        self.greeting = false;
        self.sent = Some(nonce);
        self.pending = Some(Pending { nonce, items });
        parcel
    }

    /// Takes what is due out of what is owed, of one group if one is given.
    fn collect(&mut self, part: Part, group: Option<&BTreeSet<Arc<str>>>) -> (Parcel, Vec<Item>) {
        let (mut parcel, mut items) = (Parcel::default(), Vec::new());
        let rejected = &self.rejected;
        self.owed.retain(|name, owed| {
            if group.is_some_and(|group| !group.contains(name)) {
                return true;
            }
            let sent = match Move::of(owed, rejected.get(name)) {
                Move::None => return false,
                Move::Send(resource) if part != Part::Removals => Some(resource.clone()),
                Move::Answer if part != Part::Removals => None,
                Move::Remove if part != Part::Additions => None,
                _ => return true,
            };
            match &sent {
                Some(resource) => {
                    parcel.resources.push(resource.clone());
                    if self.kind == ResourceType::Route && !matches!(owed.held, Held::Form(_)) {
                        parcel.new.insert(name.clone());
                    }
                }
                None => parcel.removed.push(name.clone()),
            }
            items.push(Item { name: name.clone(), before: owed.held, sent });
            false
        });
        (parcel, items)
    }

    /// The next group that still has names to send.
    fn next_group(&mut self) -> Option<BTreeSet<Arc<str>>> {
        while let Some(group) = self.groups.pop_front() {
            if group.iter().any(|name| self.owed.contains_key(name)) {
                return Some(group);
            }
        }
        None
    }

    /// The proxy accepted the response that it was sent.
    pub(super) fn accept(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.accepted = Some(pending.nonce);
        for item in pending.items {
            self.rejected.remove(&item.name);
        }
    }
}

// === impl Held ===

impl Held {
    /// What a version text tells that a proxy brought along. One of another control plane stands for a form that we never made.
    fn of_version(version: &str) -> Self {
        Self::Form(u64::from_str_radix(version, 16).unwrap_or(u64::MAX))
    }
}

/// What has to be done about one owed name.
enum Move<'a> {
    None,
    Send(&'a Arc<Resource>),
    /// Say that it is not there.
    Answer,
    Remove,
}

// === impl Move ===

impl<'a> Move<'a> {
    fn of(owed: &'a Owed, rejected: Option<&Rejected>) -> Self {
        match (&owed.due, owed.held) {
            (Some(resource), Held::Form(hash)) if resource.hash == hash => Self::None,
            // Never the same refused form again, unless the proxy itself asks for it.
            (Some(resource), Held::Form(_) | Held::Nothing) if rejected.is_some_and(|rejected| rejected.is_of(resource)) => Self::None,
            (Some(resource), _) => Self::Send(resource),
            (None, Held::Nothing) => Self::None,
            (None, Held::Form(_)) => Self::Remove,
            (None, Held::Unknown) => Self::Answer,
        }
    }
}
