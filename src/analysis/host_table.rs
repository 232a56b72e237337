//! Values by the hosts that they are for, wildcards among them: which are for a host, for wider ones and for narrower ones is found
//! without a walk over all.

use std::{ops::Bound, sync::Arc};

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::group::Group;
use crate::model::HostPattern;

/// How many narrower hosts are looked at: enough to tell of some, without a walk over all that `*` covers.
const NARROWER: usize = 64;

/// Values by host. Persistent: cloning it is free.
///
/// Its keys are hosts read backwards, a wildcard's `*` last. So the hosts that a wildcard covers lie side by side, and the wildcards
/// that cover a host are beginnings of it.
#[derive(Clone, Debug)]
pub(super) struct HostTable<V: Ord> {
    hosts: RedBlackTreeMapSync<Arc<str>, Group<V>>,
    /// The wildcards' keys once more: they are few, so that looking for those that cover a host is cheap.
    wildcards: RedBlackTreeSetSync<Arc<str>>,
}

impl<V: Ord> Default for HostTable<V> {
    fn default() -> Self {
        Self { hosts: RedBlackTreeMapSync::new_sync(), wildcards: RedBlackTreeSetSync::new_sync() }
    }
}

fn backwards(host: &HostPattern) -> String {
    host.as_str().chars().rev().collect()
}

impl<V: Ord + Clone> HostTable<V> {
    /// Puts a value under a host.
    pub(super) fn insert(&mut self, host: &HostPattern, value: V) {
        let key = backwards(host);
        match self.hosts.get_mut(key.as_str()) {
            Some(values) => values.insert(value),
            None => {
                let key: Arc<str> = key.into();
                if host.is_wildcard() {
                    self.wildcards.insert_mut(key.clone());
                }
                self.hosts.insert_mut(key, Group::One(value));
            }
        }
    }

    /// Takes a value from under a host, if it is there.
    pub(super) fn remove(&mut self, host: &HostPattern, value: &V) {
        let key = backwards(host);
        let Some(values) = self.hosts.get_mut(key.as_str()) else { return };
        if values.remove(value) {
            self.hosts.remove_mut(key.as_str());
            self.wildcards.remove_mut(key.as_str());
        }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Values of just that host.
    pub(super) fn exact(&self, host: &HostPattern) -> impl Iterator<Item = &V> + use<'_, V> {
        self.hosts.get(backwards(host).as_str()).into_iter().flat_map(Group::iter)
    }

    /// Values of wildcards that cover the host, itself left out: the narrowest first.
    pub(super) fn wider(&self, host: &HostPattern) -> Vec<&V> {
        let mut found = Vec::new();
        if self.wildcards.is_empty() {
            return found;
        }
        let own = backwards(host);
        let mut key = own.trim_end_matches('*').to_owned();
        loop {
            let length = key.len();
            key.push('*');
            if key != own
                && self.wildcards.contains(key.as_str())
                && let Some(values) = self.hosts.get(key.as_str())
            {
                found.extend(values.iter());
            }
            key.truncate(length);
            if key.pop().is_none() {
                return found;
            }
        }
    }

    /// Values of hosts that the host covers if it is a wildcard, itself left out.
    pub(super) fn narrower(&self, host: &HostPattern) -> impl Iterator<Item = &V> + use<'_, V> {
        let own = backwards(host);
        let beginning = own.strip_suffix('*').map(str::to_owned);
        let start = beginning.clone().unwrap_or_default();
        let inside = move |key: &str| beginning.as_deref().is_some_and(|beginning| key.starts_with(beginning));
        // Collected, because a range borrows where it starts.
        let keys: Vec<Arc<str>> = self
            .hosts
            .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
            .map(|(key, _)| key.clone())
            .take_while(|key| inside(key))
            .filter(|key| **key != *own)
            .take(NARROWER)
            .collect();
        keys.into_iter().filter_map(|key| self.hosts.get(&*key)).flat_map(Group::iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        HostPattern::new(text)
    }

    fn table(hosts: &[&str]) -> HostTable<String> {
        let mut table = HostTable::default();
        hosts.iter().for_each(|text| table.insert(&host(text), (*text).to_owned()));
        table
    }

    #[test]
    fn wider_hosts_come_with_the_narrowest_first() {
        let table = table(&["a.b.c", "*.b.c", "*b.c", "*.c", "*", "*.x", "b.c"]);
        assert_eq!(table.wider(&host("a.b.c")), ["*.b.c", "*b.c", "*.c", "*"]);
        assert_eq!(table.wider(&host("*.b.c")), ["*b.c", "*.c", "*"]);
        assert_eq!(table.wider(&host("b.c")), ["*b.c", "*.c", "*"]);
        assert_eq!(table.wider(&host("*")), [""; 0]);
    }

    #[test]
    fn narrower_hosts_are_those_that_a_wildcard_covers() {
        let table = table(&["a.b.c", "*.b.c", "x.b.c", "b.c", "d.c", "*"]);
        let narrower = |text: &str| table.narrower(&host(text)).cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(narrower("*.b.c"), ["a.b.c", "x.b.c"].map(String::from).into());
        assert_eq!(narrower("*.c"), ["*.b.c", "a.b.c", "b.c", "d.c", "x.b.c"].map(String::from).into());
        assert_eq!(narrower("*").len(), 5);
        assert_eq!(narrower("a.b.c"), [].into());
    }

    #[test]
    fn both_agree_with_what_patterns_say() {
        let all = ["a.b.c", "*.b.c", "x.b.c", "b.c", "d.c", "*", "*.c", "*b.c", "ab.c"];
        let table = table(&all);
        for text in all {
            let own = host(text);
            let mut covering: Vec<&str> = all.into_iter().filter(|other| *other != text && host(other).covers(&own)).collect();
            covering.sort_unstable();
            let mut wider: Vec<&str> = table.wider(&own).into_iter().map(String::as_str).collect();
            wider.sort_unstable();
            assert_eq!(wider, covering, "{text}");
            let mut covered: Vec<&str> = all.into_iter().filter(|other| *other != text && own.covers(&host(other))).collect();
            covered.sort_unstable();
            let mut narrower: Vec<&str> = table.narrower(&own).map(String::as_str).collect();
            narrower.sort_unstable();
            assert_eq!(narrower, covered, "{text}");
        }
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        let mut table = table(&["*.b.c", "a.b.c"]);
        table.remove(&host("*.b.c"), &"another".to_owned());
        assert_eq!(table.wider(&host("a.b.c")), ["*.b.c"]);
        table.remove(&host("*.b.c"), &"*.b.c".to_owned());
        assert_eq!(table.wider(&host("a.b.c")), [""; 0]);
        table.remove(&host("a.b.c"), &"a.b.c".to_owned());
        assert!(table.is_empty());
    }
}
