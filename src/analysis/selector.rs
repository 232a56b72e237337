//! Which workloads a selector picks.

use std::sync::Arc;

use super::World;
use super::lookups::{LOOKED_AT, of_namespace};
use crate::model::{Labels, Workload, WorkloadKey};

/// A label as the index has it.
pub(super) fn label(name: &str, value: &str) -> Arc<str> {
    format!("{name}={value}").into()
}

/// A selector as people write it on a command line: `app=web,version=v1`.
pub(super) fn text(selector: &Labels) -> String {
    let labels: Vec<String> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(",")
}

/// A selector that asks for what both ask for; `None` if no labels can satisfy it.
pub(super) fn both(one: &Labels, other: &Labels) -> Option<Labels> {
    let mut merged = one.clone();
    for (name, value) in other {
        if merged.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
            return None;
        }
    }
    Some(merged)
}

impl World {
    /// Whether some WorkloadEntry of a namespace has a selector's labels, as far as that can be told: of one that can't be reached, and of
    /// very many, the labels are not known.
    pub(super) fn may_have_entry(&self, selector: &Labels, namespace: &Arc<str>) -> bool {
        let entries = of_namespace(&self.snapshot().config.workload_entries, "WorkloadEntry", namespace);
        let has = |labels: &Labels| selector.iter().all(|(name, value)| labels.get(name) == Some(value));
        entries.len() >= LOOKED_AT || entries.iter().any(|entry| entry.endpoint.as_ref().is_none_or(|endpoint| has(&endpoint.labels)))
    }

    /// One of the workloads that a selector picks.
    pub(super) fn any_selected<'a>(&'a self, selector: &Labels, namespace: Option<&Arc<str>>) -> Option<&'a Arc<Workload>> {
        self.selected(selector, namespace, 1).pop()
    }

    /// Workloads that a selector picks, in a namespace or everywhere, by name, `most` at most. An empty selector picks all. Costs the
    /// workloads of the selector's rarest label.
    pub(super) fn selected<'a>(&'a self, selector: &Labels, namespace: Option<&Arc<str>>, most: usize) -> Vec<&'a Arc<Workload>> {
        let workloads = &self.snapshot().workloads;
        if selector.is_empty() {
            let inside = |workload: &&Arc<Workload>| namespace.is_none_or(|namespace| workload.key.namespace == *namespace);
            let mut all: Vec<_> = workloads.values().filter(inside).collect();
            all.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            all.truncate(most);
            return all;
        }
        let groups = selector.iter().map(|(name, value)| self.tables.labelled.group(&label(name, value)));
        let Some(groups) = groups.collect::<Option<Vec<_>>>() else { return Vec::new() };
        let Some(rarest) = groups.into_iter().min_by_key(|group| group.len()) else { return Vec::new() };
        let first = namespace.map(|namespace| WorkloadKey { namespace: namespace.clone(), name: "".into() });
        let keys = rarest.from(first.as_ref());
        let inside = keys.take_while(|key| namespace.is_none_or(|namespace| key.namespace == *namespace));
        let found = inside.filter_map(|key| workloads.get(key)).filter(|workload| workload.selected_by(selector));
        found.take(most).collect()
    }
}
