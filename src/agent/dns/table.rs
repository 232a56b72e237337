//! The hosts that the mesh knows, and how an application's resolver comes to them.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// The hosts with their addresses. Clones share the table.
#[derive(Clone, Debug, Default)]
pub(super) struct NameTable(Arc<RwLock<HashMap<Box<str>, Host>>>);

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) addresses: Box<[IpAddr]>,
    /// The version of that, as pilot counts.
    pub(super) version: Box<str>,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The host's own name, where another one was asked for.
    pub(super) alias_of: Option<String>,
    pub(super) addresses: Box<[IpAddr]>,
}

// === impl NameTable ===

impl NameTable {
    /// Adds hosts, in place of those of their names, and takes others out.
    pub(super) fn change(&self, added: impl IntoIterator<Item = (String, Host)>, removed: &[String]) {
        let mut hosts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in removed {
            hosts.remove(name.as_str());
        }
        hosts.extend(added.into_iter().map(|(name, host)| (name.into_boxed_str(), host)));
    }

    /// The versions of all hosts.
    pub(super) fn versions(&self) -> impl Iterator<Item = (String, String)> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().map(|(name, host)| (name.to_string(), host.version.to_string())).collect::<Vec<_>>().into_iter()
    }

    /// How many hosts there are.
    pub(super) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What a name leads to: lower case, without a dot at its end. `search` are the domains that the application's resolver puts behind names
    /// that are not complete.
    ///
    /// A resolver with such domains asks for `api.example.com.shop.svc.cluster.local` before it asks for `api.example.com`. It is answered at
    /// once with what it would come to in the end.
    pub(super) fn find(&self, name: &str, search: &[String]) -> Option<Found> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let host = |name: &str| hosts.get(name).map(|host| host.addresses.clone());
        if let Some(addresses) = host(name) {
            return Some(Found { alias_of: None, addresses });
        }
        let bare = search.first().and_then(|first| name.strip_suffix(first.as_str())?.strip_suffix('.'));
        if let Some(bare) = bare {
            let others = search[1..].iter().map(|domain| Cow::Owned(format!("{bare}.{domain}")));
            for candidate in others.chain([Cow::Borrowed(bare)]) {
                if let Some(addresses) = host(&candidate) {
                    return Some(Found { alias_of: Some(candidate.into_owned()), addresses });
                }
            }
        }
        if let Some(addresses) = wildcards(name).find_map(|pattern| host(&pattern)) {
            return Some(Found { alias_of: None, addresses });
        }
        let bare = bare?;
        wildcards(bare).find_map(|pattern| host(&pattern)).map(|addresses| Found { alias_of: Some(bare.to_owned()), addresses })
    }
}

/// The wildcard hosts that a name belongs to, the most specific first.
fn wildcards(name: &str) -> impl Iterator<Item = String> {
    name.match_indices('.').map(|(dot, _)| format!("*{}", &name[dot..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(hosts: &[(&str, &str)]) -> NameTable {
        let table = NameTable::default();
        let host = |address: &str| Host { addresses: [address.parse().unwrap()].into(), version: "1".into() };
        table.change(hosts.iter().map(|(name, address)| ((*name).to_owned(), host(address))), &[]);
        table
    }

    fn search() -> Vec<String> {
        ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(str::to_owned).into()
    }

    #[test]
    fn names_are_found_as_a_resolver_asks_for_them() {
        let table = table(&[
            ("reviews.shop.svc.cluster.local", "10.0.0.1"),
            ("stock.trade.svc.cluster.local", "10.0.0.2"),
            ("api.example.com", "10.0.0.3"),
            ("*.example.com", "10.0.0.4"),
            ("*.deep.example.com", "10.0.0.5"),
            ("db", "10.0.0.6"),
        ]);
        let found = |name: &str| {
            let found = table.find(name, &search())?;
            Some((found.addresses[0].to_string(), found.alias_of.unwrap_or_default()))
        };
        let own = |address: &str| Some((address.to_owned(), String::new()));
        let alias = |address: &str, name: &str| Some((address.to_owned(), name.to_owned()));
        assert_eq!(found("reviews.shop.svc.cluster.local"), own("10.0.0.1"));
        assert_eq!(found("stock.trade.shop.svc.cluster.local"), alias("10.0.0.2", "stock.trade.svc.cluster.local"));
        assert_eq!(found("stock.trade.svc.shop.svc.cluster.local"), alias("10.0.0.2", "stock.trade.svc.cluster.local"));
        assert_eq!(found("api.example.com"), own("10.0.0.3"));
        assert_eq!(found("api.example.com.shop.svc.cluster.local"), alias("10.0.0.3", "api.example.com"));
        assert_eq!(found("other.example.com"), own("10.0.0.4"));
        assert_eq!(found("x.deep.example.com"), own("10.0.0.5"));
        assert_eq!(found("x.deep.example.com.shop.svc.cluster.local"), alias("10.0.0.5", "x.deep.example.com"));
        assert_eq!(found("db.shop.svc.cluster.local"), alias("10.0.0.6", "db"));
        // Not ours: a domain is no host of its wildcard, other search domains are other questions, and so is a name that merely ends alike.
        for name in ["example.com", "api.example.com.svc.cluster.local", "xshop.svc.cluster.local", "unknown.shop.svc.cluster.local", ""] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn hosts_come_change_and_go() {
        let table = table(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]);
        let host = Host { addresses: ["10.0.0.9".parse().unwrap()].into(), version: "2".into() };
        table.change([("a".to_owned(), host)], &["b".to_owned(), "never".to_owned()]);
        assert_eq!(table.versions().collect::<Vec<_>>(), [("a".to_owned(), "2".to_owned())]);
        assert_eq!(table.find("a", &[]).unwrap().addresses[0].to_string(), "10.0.0.9");
        assert_eq!((table.find("b", &[]), table.len()), (None, 1));
    }
}
