//! Facts of a proxy that compiling may read, and tables of results by the facts that were read.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::proxy::Proxy;
use crate::model::ProxyRole;

/// The node's metadata in which a proxy says how its pod's traffic gets to it.
const INTERCEPTION: &str = "INTERCEPTION_MODE";

/// One fact of a proxy: as narrow as the question that was asked, so that the answer is shared as widely as it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fact {
    /// Its role.
    Role,
    /// Whether its labels are its pod's.
    Vouched,
    /// Its namespace.
    Namespace,
    /// Whether it is in that namespace.
    InNamespace(Arc<str>),
    /// Its locality.
    Locality,
    /// The value of one of its labels.
    Label(Arc<str>),
    /// Whether one of its labels has that value.
    HasLabel(Arc<str>, Arc<str>),
    /// The port number of one of its named ports.
    NamedPort(Arc<str>),
    /// Whether that address is its own.
    HasAddress(IpAddr),
    /// A text of its node's metadata.
    Metadata(Arc<str>),
    /// Whether its agent answers DNS queries.
    CapturesDns,
    /// Whether it wants to know the other workloads of its service.
    DiscoversItself,
    /// Its primary address.
    Address,
    /// Whether it takes the virtual hosts of route tables one by one.
    SplitsTables,
    /// Whether nothing is redirected to it.
    CalledItself,
    /// Whether it has an IPv6 address.
    HasIpv6,
    /// Whether it gets inbound connections with their addresses as they were.
    Transparent,
}

#[cfg(test)]
thread_local! {
    static FORGOTTEN: std::cell::Cell<fn(&Fact) -> bool> = const { std::cell::Cell::new(|_| false) };
}

/// Until this is dropped, facts are read on this thread and not noted.
#[cfg(test)]
pub(super) struct Forgetting;

/// Lets facts be read and not noted, to see that it is noticed.
#[cfg(test)]
pub(super) fn forgetting(which: fn(&Fact) -> bool) -> Forgetting {
    FORGOTTEN.set(which);
    Forgetting
}

#[cfg(test)]
impl Drop for Forgetting {
    fn drop(&mut self) {
        FORGOTTEN.set(|_| false);
    }
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum FactValue {
    /// A role.
    Role(ProxyRole),
    /// A text, or its absence.
    Text(Option<Arc<str>>),
    /// A port, or its absence.
    Port(Option<u16>),
    /// An address, or its absence.
    Address(Option<IpAddr>),
    /// Yes or no.
    Bool(bool),
}

impl Fact {
    /// Whether a test lets it be read without a note.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        FORGOTTEN.get()(self)
    }

    /// What holds for that proxy.
    pub(super) fn of(&self, proxy: &Proxy) -> FactValue {
        match self {
            Self::Role => FactValue::Role(proxy.role),
            Self::Vouched => FactValue::Bool(proxy.vouched),
            Self::Namespace => FactValue::Text(Some(proxy.key.namespace.clone())),
            Self::InNamespace(namespace) => FactValue::Bool(*namespace == proxy.key.namespace),
            Self::Locality => FactValue::Text(Some(proxy.locality.clone())),
            Self::Label(name) => FactValue::Text(proxy.labels.get(&**name).map(|value| value.as_str().into())),
            Self::HasLabel(name, value) => FactValue::Bool(proxy.labels.get(&**name).is_some_and(|found| **found == **value)),
            Self::NamedPort(name) => FactValue::Port(proxy.named_ports.iter().find(|(port, _)| port == name).map(|(_, number)| *number)),
            Self::HasAddress(address) => FactValue::Bool(proxy.addresses.contains(address)),
            Self::Metadata(name) => FactValue::Text(proxy.metadata.get(&**name).map(|value| value.as_str().into())),
            Self::CapturesDns => FactValue::Bool(proxy.captures_dns),
            Self::DiscoversItself => FactValue::Bool(proxy.discovers_itself),
            Self::Address => FactValue::Address(proxy.addresses.first().copied()),
            Self::SplitsTables => FactValue::Bool(proxy.splits_tables),
            Self::CalledItself => FactValue::Bool(proxy.metadata.get(INTERCEPTION).is_some_and(|mode| mode == "NONE")),
            Self::HasIpv6 => FactValue::Bool(proxy.addresses.iter().any(IpAddr::is_ipv6)),
            Self::Transparent => FactValue::Bool(proxy.metadata.get(INTERCEPTION).is_some_and(|mode| mode == "TPROXY")),
        }
    }
}

/// Leaves out what follows from other facts of the set: where the namespace itself counts, so does every yes or no about it. Keeps sets
/// small where parts asked for one namespace each.
pub(super) fn without_implied(mut facts: BTreeSet<Fact>) -> BTreeSet<Fact> {
    if facts.contains(&Fact::Namespace) {
        facts.retain(|fact| !matches!(fact, Fact::InNamespace(_)));
    }
    facts
}

/// Results of one computation, by the facts that each run of it read.
///
/// Finding one costs a lookup for each distinct *set* of facts, of which there are few, not for each result.
#[derive(Clone, Debug)]
pub(super) struct Variants<T> {
    tables: Vec<Table<T>>,
}

#[derive(Clone, Debug)]
struct Table<T> {
    facts: Arc<[Fact]>,
    values: HashMap<Vec<FactValue>, T, FixedState>,
}

impl<T> Default for Variants<T> {
    fn default() -> Self {
        Self { tables: Vec::new() }
    }
}

fn values_of(facts: &[Fact], proxy: &Proxy) -> Vec<FactValue> {
    facts.iter().map(|fact| fact.of(proxy)).collect()
}

impl<T> Variants<T> {
    /// The result that holds for that proxy.
    pub(super) fn find(&self, proxy: &Proxy) -> Option<&T> {
        self.tables.iter().find_map(|table| table.values.get(&values_of(&table.facts, proxy)))
    }

    /// The result that holds for that proxy, to be changed in what is no function of the facts.
    pub(super) fn find_mut(&mut self, proxy: &Proxy) -> Option<&mut T> {
        self.tables.iter_mut().find_map(|table| table.values.get_mut(&values_of(&table.facts, proxy)))
    }

    /// Takes out the result that holds for that proxy.
    pub(super) fn take(&mut self, proxy: &Proxy) -> Option<T> {
        self.tables.iter_mut().find_map(|table| table.values.remove(&values_of(&table.facts, proxy)))
    }

    /// Keeps a result that was computed for that proxy, reading those facts (sorted).
    pub(super) fn insert(&mut self, facts: &Arc<[Fact]>, proxy: &Proxy, result: T) {
        let values = values_of(facts, proxy);
        match self.tables.iter_mut().find(|table| table.facts == *facts) {
            Some(table) => _ = table.values.insert(values, result),
            None => {
                let values = HashMap::from_iter([(values, result)]);
                self.tables.push(Table { facts: facts.clone(), values });
            }
        }
    }

    /// Drops the results for which `keep` says no.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        for table in &mut self.tables {
            table.values.retain(|_, result| keep(result));
        }
        self.tables.retain(|table| !table.values.is_empty());
    }

    /// All results.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.tables.iter().flat_map(|table| table.values.values())
    }

    /// All results, to be changed in what is no function of the facts.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.tables.iter_mut().flat_map(|table| table.values.values_mut())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many results there are.
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.values.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_counts_itself_leaves_no_questions_about_it() {
        let shop = Fact::InNamespace("shop".into());
        assert_eq!(without_implied([Fact::Role, Fact::Namespace, shop.clone()].into()), [Fact::Role, Fact::Namespace].into());
        assert_eq!(without_implied([Fact::Role, shop.clone()].into()), [Fact::Role, shop].into());
    }
}
