//! What a proxy is owed, name by name. Proxies that come alike are owed the same, and hold one account of it until they differ.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::refusal::Rejected;
use crate::compile::{Compiled, Resource, ResourceType};
use crate::pilot::serve::session::names::Names;

/// Names whose form may differ from the one that the proxy holds.
pub(super) type Account = BTreeMap<Arc<str>, Owed>;

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

/// What a proxy holds of a name, and what it shall.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) held: Held,
    /// The form that it shall hold; none if the resource is gone.
    pub(super) due: Option<Arc<Resource>>,
}

/// What has to be done about one owed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    None,
    Send,
    /// Say that it is not there.
    Answer,
    Remove,
}

/// Keeps the accounts of proxies that come alike in one place: a thousand proxies that come back at once miss the same thousand
/// resources, and to write that down for each would take longer than to send it. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(in crate::pilot::serve::session) struct SharedAccounts(Arc<Mutex<Vec<Known>>>);

/// An account, for as long as somebody has it.
type Known = (Key, Weak<Account>);

/// What makes accounts equal: the kind, the parts of the configuration and, where it is not all of these, the names.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    kind: ResourceType,
    parts: Vec<u64>,
    names: Option<Arc<Names>>,
}

// === impl Held ===

impl Held {
    /// What a version text tells that a proxy brought along. One of another control plane stands for a form that we never made.
    pub(super) fn of_version(version: &str) -> Self {
        Self::Form(u64::from_str_radix(version, 16).unwrap_or(u64::MAX))
    }
}

// === impl Owed ===

impl Owed {
    /// The proxy waits for that, whatever it holds.
    pub(super) fn anew(due: Option<Arc<Resource>>) -> Self {
        Self { held: Held::Unknown, due }
    }

    /// The proxy has nothing of that.
    pub(super) fn missed(due: &Arc<Resource>) -> Self {
        Self { held: Held::Nothing, due: Some(due.clone()) }
    }

    /// What has to be done about it.
    pub(super) fn next_move(&self, rejected: Option<&Rejected>) -> Move {
        match (&self.due, self.held) {
            (Some(resource), Held::Form(hash)) if resource.hash == hash => Move::None,
            // Never the same refused form again, unless the proxy itself asks for it.
            (Some(resource), Held::Form(_) | Held::Nothing) if rejected.is_some_and(|rejected| rejected.is_of(resource)) => Move::None,
            (Some(_), _) => Move::Send,
            (None, Held::Nothing) => Move::None,
            (None, Held::Form(_)) => Move::Remove,
            (None, Held::Unknown) => Move::Answer,
        }
    }
}

// === impl SharedAccounts ===

impl SharedAccounts {
    /// The account of who misses what `make` says, which follows from the kind, the configuration and the names.
    pub(super) fn of(
        &self,
        kind: ResourceType,
        current: &Compiled,
        names: Option<Arc<Names>>,
        make: impl FnOnce() -> Account,
    ) -> Arc<Account> {
        let key = Key { kind, parts: current.parts(kind).collect(), names };
        // Made under the lock: of a thousand that come at once, one makes it.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = known.iter().find(|(other, _)| *other == key).and_then(|(_, account)| account.upgrade()) {
            return account;
        }
        known.retain(|(_, account)| account.strong_count() > 0);
        let account = Arc::new(make());
        known.push((key, Arc::downgrade(&account)));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> Arc<Resource> {
        Resource::of(ResourceType::Cluster, name, "1", &[])
    }

    fn missed(compiled: &Compiled) -> Account {
        compiled.each(ResourceType::Cluster).map(|resource| (resource.name.clone(), Owed::anew(Some(resource.clone())))).collect()
    }

    #[test]
    fn who_misses_the_same_shares_an_account_for_as_long_as_somebody_has_it() {
        let shared = SharedAccounts::default();
        let [one, other] = [Compiled::made_of(&[cluster("a")]), Compiled::made_of(&[cluster("b")])];
        let of = |compiled: &Compiled, names: Option<&[&str]>| {
            let names = names.map(|names| Arc::new(names.iter().map(|name| (*name).into()).collect()));
            shared.of(ResourceType::Cluster, compiled, names, || missed(compiled))
        };
        let all = of(&one, None);
        assert!(Arc::ptr_eq(&all, &of(&one, None)));
        let named = of(&one, Some(&["a"]));
        assert!(Arc::ptr_eq(&named, &of(&one, Some(&["a"]))));
        for different in [&named, &of(&one, Some(&["b"])), &of(&other, None)] {
            assert!(!Arc::ptr_eq(&all, different));
        }
        drop((all, named));
        of(&other, None);
        assert_eq!(shared.0.lock().unwrap().len(), 1);
    }
}
