//! What several checks ask a world.

use std::{collections::BTreeSet, fmt::Write, ops::Bound, sync::Arc};

use super::World;
use crate::model::{ExportTo, HostPattern, ObjectRef, Objects, Service, ServiceKey, Visibility};

/// How many objects of one host, namespace or selector are looked at. It bounds what an object costs where thousands share a host; a
/// conflict with some of them tells enough.
pub(super) const LOOKED_AT: usize = 256;
/// How many other objects a message names.
const NAMED: usize = 3;

impl World {
    /// Services of a host: those of just that host first, then wildcards that cover it, the narrowest first.
    pub(super) fn services_of(&self, host: &HostPattern) -> Vec<&Arc<Service>> {
        let tables = &self.tables;
        let keys = tables.services.exact(host).take(LOOKED_AT).chain(tables.services.wider(host).into_iter().take(LOOKED_AT));
        keys.filter_map(|key: &ServiceKey| self.snapshot().services.get(key)).collect()
    }
}

/// The objects of one namespace, in the order of their names.
pub(super) fn of_namespace<'a, T>(objects: &'a Objects<T>, kind: &'static str, namespace: &Arc<str>) -> Vec<&'a Arc<T>> {
    let first = ObjectRef { kind, namespace: namespace.clone(), name: Arc::default() };
    let later = objects.range::<ObjectRef, _>((Bound::Included(&first), Bound::Unbounded));
    later.take_while(|(object, _)| object.namespace == *namespace).take(LOOKED_AT).map(|(_, object)| object).collect()
}

/// Whether two objects of different namespaces are exported to the same ones, so that whoever sees one sees the other. An object that
/// is exported to single namespaces stands before one that all see, and is no conflict with it.
pub(super) fn same_audience(one: (&ExportTo, &Arc<str>), other: (&ExportTo, &Arc<str>)) -> bool {
    match (audience(one), audience(other)) {
        (None, None) => true,
        (Some(one), Some(other)) => !one.is_disjoint(&other),
        _ => false,
    }
}

/// The namespaces that see an object; `None` for all.
pub(super) fn audience<'a>((export_to, own): (&'a ExportTo, &'a Arc<str>)) -> Option<BTreeSet<&'a Arc<str>>> {
    if export_to.0.is_empty() || export_to.0.contains(&Visibility::Public) {
        return None;
    }
    let viewers = export_to.0.iter().filter_map(|entry| match entry {
        Visibility::Private => Some(own),
        Visibility::Namespace(namespace) => Some(namespace),
        Visibility::Public | Visibility::None => None,
    });
    Some(viewers.collect())
}

/// Objects as a message names them: `Gateway shop/a, Gateway shop/b and 4 more`.
pub(super) fn listed<'a>(objects: impl IntoIterator<Item = &'a ObjectRef>) -> String {
    let objects: Vec<_> = objects.into_iter().collect();
    let mut text = String::new();
    for (place, object) in objects.iter().take(NAMED).enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        _ = write!(text, "{separator}{object}");
    }
    if objects.len() > NAMED {
        _ = write!(text, " and {} more", objects.len() - NAMED);
    }
    text
}

/// The objects that a finding keeps beside its message.
pub(super) fn some<'a>(objects: impl IntoIterator<Item = &'a ObjectRef>) -> Vec<ObjectRef> {
    objects.into_iter().take(NAMED).cloned().collect()
}

/// Numbers or names in a row: `80, 443`; the end of long lists is left out.
pub(super) fn row<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 10;
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let shown = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN { format!("{shown}, …") } else { shown }
}
