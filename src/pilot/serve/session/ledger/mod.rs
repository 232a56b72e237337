//! The account of one kind of resource with one proxy: what it wants, what it has, what it is owed.

mod account;
mod hosts;
mod refusal;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
};

use super::{Progress, Shared, subscription::Subscription};
use crate::compile::{Compiled, Resource, ResourceType};
use account::{Account, Held, Move, Owed};
use refusal::Rejected;

pub(super) use account::SharedAccounts;

pub(in crate::pilot) use refusal::Rejection;

/// What a response was about, until the proxy has answered it: each name as it was owed.
#[derive(Debug)]
struct Pending {
    nonce: u64,
    items: Arc<Account>,
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
    brought: Option<BTreeMap<String, String>>,
    /// What is not in here, the proxy holds as the configuration has it. Shared with proxies that are owed the same.
    owed: Arc<Account>,
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
            owed: Arc::default(),
            groups: VecDeque::new(),
            pending: None,
            rejected: BTreeMap::new(),
            greeting: false,
            sent: None,
            accepted: None,
        }
    }

    /// The proxy wants to hear of these. `held` are the versions that it brought along. Returns how many names it is subscribed to.
    pub(super) fn subscribe(
        &mut self,
        names: Vec<String>,
        mut held: BTreeMap<String, String>,
        current: Option<&Compiled>,
        shared: &Shared,
    ) -> usize {
        let subscription = &mut self.subscription;
        let first = subscription.begin();
        let fresh = held.is_empty();
        let begins = if self.kind == ResourceType::VirtualHost {
            first
        } else {
            let had_everything = subscription.is_everything();
            // Older than the name `*`: a first request for clusters or listeners without any name is for all of them.
            if first && names.is_empty() && matches!(self.kind, ResourceType::Cluster | ResourceType::Listener) {
                subscription.add_everything();
            }
            self.subscribe_to_names(names, &mut held, current, shared);
            self.subscription.is_everything() && !had_everything
        };
        if begins {
            self.greeting = fresh && self.subscription.is_everything();
            self.brought = Some(held);
            if let Some(current) = current {
                self.begin(current, shared);
            }
        }
        self.subscription.len()
    }

    /// Adds names, and takes from `held` what the proxy brought along of them. Whoever asks for what it does not hold waits for an answer,
    /// even if that was given before.
    fn subscribe_to_names(&mut self, names: Vec<String>, held: &mut BTreeMap<String, String>, current: Option<&Compiled>, shared: &Shared) {
        let kind = self.kind;
        let due = |name: &str| current.and_then(|current| current.get(kind, name));
        let all = match self.subscription.begin_with(names, |name| due(name).map(|resource| resource.name.clone()), &shared.names) {
            Ok(all) => all,
            Err(names) => {
                for name in names {
                    let due = due(&name);
                    let Some(name) = self.subscription.add(name, due.map(|resource| &resource.name)) else { continue };
                    self.owe(&name, held, due);
                }
                return self.subscription.share(&shared.names);
            }
        };
        match current {
            Some(current) if held.is_empty() && self.owed.is_empty() => {
                let missed = || all.iter().map(|name| (name.clone(), Owed::anew(due(name).cloned()))).collect();
                self.owed = shared.accounts.of(kind, current, Some(all.clone()), missed);
            }
            _ => all.iter().for_each(|name| self.owe(name, held, due(name))),
        }
    }

    /// Owes a name that the proxy asks for.
    fn owe(&mut self, name: &Arc<str>, held: &mut BTreeMap<String, String>, due: Option<&Arc<Resource>>) {
        let held = held.remove(&**name).map_or(Held::Unknown, |version| Held::of_version(&version));
        if let Some(due) = due
            && held == Held::Form(due.hash)
            && !self.owed.contains_key(name)
        {
            return;
        }
        self.account().insert(name.clone(), Owed { held, due: due.cloned() });
    }

    /// What is owed, to be changed: from here on it is this proxy's own.
    fn account(&mut self) -> &mut Account {
        Arc::make_mut(&mut self.owed)
    }

    /// The proxy does not want to hear of these any more.
    pub(super) fn unsubscribe(&mut self, names: &[String], shared: &Shared) {
        // A proxy has the hosts of each table that it has: for these alone it can't say that it wants none.
        if self.kind == ResourceType::VirtualHost || names.is_empty() {
            return;
        }
        let subscription = &mut self.subscription;
        subscription.remove(names);
        Arc::make_mut(&mut self.owed).retain(|name, _| subscription.covers(name));
        self.rejected.retain(|name, _| subscription.covers(name));
        subscription.share(&shared.names);
    }

    /// Begins a subscription that is not by name: all that belongs to it is owed, but for what the proxy brought along.
    fn begin(&mut self, current: &Compiled, shared: &Shared) {
        let Some(mut brought) = self.brought.take() else { return };
        let tables = self.subscription.tables().cloned();
        let missed = || match &tables {
            Some(tables) => hosts::missed(current, tables),
            None => current.each(self.kind).map(|resource| (resource.name.clone(), Owed::missed(resource))).collect(),
        };
        let missed = shared.accounts.of(self.kind, current, tables.clone(), missed);
        if brought.is_empty() && self.owed.is_empty() {
            self.owed = missed;
            return;
        }
        let account = self.account();
        for (name, missed) in &*missed {
            let held = brought.remove(&**name).map_or(missed.held, |version| Held::of_version(&version));
            match (account.get_mut(name), &missed.due) {
                (Some(owed), due) => owed.due.clone_from(due),
                (None, Some(due)) if held == Held::Form(due.hash) => {}
                (None, due) => _ = account.insert(name.clone(), Owed { held, due: due.clone() }),
            }
        }
        // What there is no longer; of hosts also those of tables that the proxy does not have, which it remembers and can't use.
        account.extend(brought.into_iter().map(|(name, version)| (name.into(), Owed { held: Held::of_version(&version), due: None })));
    }

    /// The configuration changes from `old` to `new`.
    pub(super) fn update(&mut self, old: Option<&Compiled>, new: &Compiled, shared: &Shared) {
        if !self.is_subscribed() {
            return;
        }
        let Some(old) = old else {
            // The first one: whatever was asked for by name is owed already.
            let kind = self.kind;
            self.account().iter_mut().for_each(|(name, owed)| owed.due = new.get(kind, name).cloned());
            return self.begin(new, shared);
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
            self.account().entry(difference.name).or_insert(Owed { held, due: None }).due = difference.resource;
        }
    }

    /// Owes a resource again, if the proxy subscribed to it.
    pub(super) fn repeat(&mut self, resource: &Arc<Resource>) {
        if self.subscription.covers(&resource.name) {
            self.account().insert(resource.name.clone(), Owed::anew(Some(resource.clone())));
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

    /// Whether a resource of that name was sent and has not been answered.
    pub(super) fn is_under_way(&self, name: &str) -> bool {
        let item = self.pending.as_ref().and_then(|pending| pending.items.get(name));
        item.is_some_and(|item| item.due.is_some())
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_none() && self.owed.is_empty() && self.brought.is_none() && !self.greeting
    }

    /// Whether nothing is to be said about a resource, and nothing waits for an answer that was.
    pub(super) fn has_settled(&self, name: &str) -> bool {
        let waits = |pending: &Pending| pending.items.contains_key(name);
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
        let (mut due, mut settled) = (Due { additions: self.greeting, removals: false }, false);
        let (kind, rejected) = (self.kind, &self.rejected);
        for (name, owed) in &*self.owed {
            match owed.next_move(rejected.get(name)) {
                Move::None => settled = true,
                Move::Send | Move::Answer => due.additions = true,
                Move::Remove => due.removals = true,
            }
        }
        if settled {
            Arc::make_mut(&mut self.owed).retain(|name, owed| owed.next_move(rejected.get(name)) != Move::None);
        }
        // A rejection is history once the configuration has moved on from the rejected form and nothing is left to say about it.
        let owed = &self.owed;
        let is_current = |name: &str, rejected: &Rejected| current.get(kind, name).is_some_and(|resource| rejected.is_of(resource));
        self.rejected.retain(|name, rejected| owed.contains_key(name) || is_current(name, rejected));
        due
    }

    /// Takes what is due for a response of that nonce.
    pub(super) fn take(&mut self, part: Part, nonce: u64) -> Parcel {
        let items = loop {
            let group = self.next_group();
            let items = self.collect(part, group.as_ref());
            if group.is_none() || !items.is_empty() {
                break items;
            }
        };
        let parcel = Parcel::of(self.kind, &items);
        self.greeting = false;
        self.sent = Some(nonce);
        self.pending = Some(Pending { nonce, items });
        parcel
    }

    /// Takes what is due out of what is owed, of one group if one is given.
    fn collect(&mut self, part: Part, group: Option<&BTreeSet<Arc<str>>>) -> Arc<Account> {
        let rejected = &self.rejected;
        let leaves = |name: &Arc<str>, owed: &Owed| {
            let is_of_part = match owed.next_move(rejected.get(name)) {
                Move::None => false,
                Move::Send | Move::Answer => part != Part::Removals,
                Move::Remove => part != Part::Additions,
            };
            is_of_part && group.is_none_or(|group| group.contains(name))
        };
        if self.owed.iter().all(|(name, owed)| leaves(name, owed)) {
            return mem::take(&mut self.owed);
        }
        let taken = Arc::make_mut(&mut self.owed).extract_if(.., |name, owed| leaves(name, owed));
        Arc::new(taken.collect())
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
        self.rejected.retain(|name, _| !pending.items.contains_key(name));
    }
}

// === impl Parcel ===

impl Parcel {
    fn of(kind: ResourceType, items: &Account) -> Self {
        let is_new = |owed: &Owed| kind == ResourceType::Route && owed.due.is_some() && !matches!(owed.held, Held::Form(_));
        Self {
            resources: items.values().filter_map(|owed| owed.due.clone()).collect(),
            removed: items.iter().filter(|(_, owed)| owed.due.is_none()).map(|(name, _)| name.clone()).collect(),
            new: items.iter().filter(|(_, owed)| is_new(owed)).map(|(name, _)| name.clone()).collect(),
        }
    }
}
