//! Configuration objects by the hosts that they name.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;

use super::input::Input;
use crate::model::{DestinationRule, HostPattern, ObjectRef, VirtualService};

/// An object that speaks for hosts.
pub(super) trait SpeaksForHosts {
    /// The hosts.
    fn hosts(&self) -> &[HostPattern];
    /// What orders objects for the same host: the oldest first, then by name.
    fn seniority(&self) -> (i64, &ObjectRef);
    /// What a change of the objects for a host dirties.
    fn input(host: HostPattern) -> Input;
    /// What a change of objects for wildcard hosts dirties.
    fn wildcard_input() -> Input;
}

impl SpeaksForHosts for VirtualService {
    fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    fn seniority(&self) -> (i64, &ObjectRef) {
        (self.created, &self.origin)
    }

    fn input(host: HostPattern) -> Input {
        Input::VirtualServicesOf(host)
    }

    fn wildcard_input() -> Input {
        Input::WildcardVirtualServices
    }
}

impl SpeaksForHosts for DestinationRule {
    fn hosts(&self) -> &[HostPattern] {
        std::slice::from_ref(&self.host)
    }

    fn seniority(&self) -> (i64, &ObjectRef) {
        (self.created, &self.origin)
    }

    fn input(host: HostPattern) -> Input {
        Input::RulesOf(host)
    }

    fn wildcard_input() -> Input {
        Input::WildcardRules
    }
}

/// Objects by host, the senior first.
#[derive(Clone, Debug)]
pub(super) struct ByHost<T> {
    exact: HashMap<HostPattern, Vec<Arc<T>>, FixedState>,
    /// By the length of the host, longest first: the most specific is found first.
    wildcard: Vec<(HostPattern, Vec<Arc<T>>)>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: Vec::new() }
    }
}

fn wildcard_order(host: &HostPattern) -> (std::cmp::Reverse<usize>, &HostPattern) {
    (std::cmp::Reverse(host.as_str().len()), host)
}

fn insert_sorted<T: SpeaksForHosts>(objects: &mut Vec<Arc<T>>, object: &Arc<T>) {
    let place = objects.partition_point(|other| other.seniority() < object.seniority());
    objects.insert(place, object.clone());
}

impl<T: SpeaksForHosts> ByHost<T> {
    /// Adds an object and reports what that dirties.
    pub(super) fn insert(&mut self, object: &Arc<T>, dirty: &mut impl Extend<Input>) {
        for host in object.hosts() {
            dirty.extend([Self::input(host)]);
            if !host.is_wildcard() {
                insert_sorted(self.exact.entry(host.clone()).or_default(), object);
                continue;
            }
            match self.wildcard.binary_search_by(|(other, _)| wildcard_order(other).cmp(&wildcard_order(host))) {
                Ok(place) => insert_sorted(&mut self.wildcard[place].1, object),
                Err(place) => self.wildcard.insert(place, (host.clone(), vec![object.clone()])),
            }
        }
    }

    /// Removes the object of that name and reports what that dirties.
    pub(super) fn remove(&mut self, object: &T, dirty: &mut impl Extend<Input>) {
        let origin = object.seniority().1;
        for host in object.hosts() {
            dirty.extend([Self::input(host)]);
            if let Some(objects) = self.exact.get_mut(host) {
                objects.retain(|other| other.seniority().1 != origin);
                if objects.is_empty() {
                    self.exact.remove(host);
                }
            }
        }
        for (_, objects) in &mut self.wildcard {
            objects.retain(|other| other.seniority().1 != origin);
        }
        self.wildcard.retain(|(_, objects)| !objects.is_empty());
    }

    /// Objects for exactly that host.
    pub(super) fn exact(&self, host: &HostPattern) -> &[Arc<T>] {
        self.exact.get(host).map_or(&[], Vec::as_slice)
    }

    /// Objects for wildcard hosts that cover that host, the most specific first.
    pub(super) fn covering<'a, 'h>(&'a self, host: &'h HostPattern) -> impl Iterator<Item = &'a Arc<T>> + use<'a, 'h, T> {
        self.wildcard.iter().filter(|(pattern, _)| pattern.covers(host)).flat_map(|(_, objects)| objects)
    }

    fn input(host: &HostPattern) -> Input {
        if host.is_wildcard() { T::wildcard_input() } else { T::input(host.clone()) }
    }
}
