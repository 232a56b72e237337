//! What proxies were told, once for all proxies that were told the same.
//!
//! A resource is decoded when its bytes are seen for the first time, and what a response makes of a proxy's resources is worked out once
//! for all proxies that had the same ones before. So two thousand proxies cost this program little more than the bytes that they read.

use anyhow::Context;
use foldhash::fast::FixedState;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasher,
    ops::Bound,
    sync::Arc,
};

use super::{
    kind::Kind,
    wire::{RawResource, Response},
};

/// Names of resources.
pub(super) type Names = BTreeSet<Arc<str>>;

/// A resource's place in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(usize);

/// What a proxy holds of a kind.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Tells equal holdings from others.
    number: u64,
    resources: BTreeMap<Arc<str>, Id>,
    /// The resources of another kind that these make a proxy ask for.
    pub(super) needs: Arc<Names>,
}

/// What a response makes of a proxy's holdings.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) holdings: Arc<Holdings>,
    /// Whether a resource is new, is in another version or is gone.
    pub(super) changed: bool,
    /// Whether one of those that changed makes a proxy ask for others.
    pub(super) needs_changed: bool,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    version: Arc<str>,
    needs: Vec<Arc<str>>,
}

/// All resources that were ever sent.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    by_hash: HashMap<u64, Id, FixedState>,
    known: Vec<Known>,
    outcomes: HashMap<u64, Outcome, FixedState>,
    holdings: u64,
    /// Why a resource could not be read; the first reason.
    failure: Option<anyhow::Error>,
}

// === impl Catalog ===

impl Catalog {
    /// The resource's place. It is decoded if it was never seen.
    pub(super) fn take(&mut self, resource: &RawResource) -> Id {
        let RawResource { name, version, type_url, body } = resource;
        let hash = FixedState::default().hash_one((name, version, type_url, body));
        if let Some(id) = self.by_hash.get(&hash) {
            return *id;
        }
        let id = Id(self.known.len());
        let known = Known::of(resource).unwrap_or_else(|error| {
            self.failure.get_or_insert(error);
            Known { name: "".into(), version: "".into(), needs: Vec::new() }
        });
        self.known.push(known);
        self.by_hash.insert(hash, id);
        id
    }

    /// What a response makes of the holdings.
    ///
    /// # Errors
    /// When one of the resources could not be read.
    pub(super) fn apply(&mut self, before: &Arc<Holdings>, response: &Response<Id>) -> anyhow::Result<Outcome> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let hash = FixedState::default().hash_one((before.number, &response.resources, &response.removed));
        if let Some(outcome) = self.outcomes.get(&hash) {
            return Ok(outcome.clone());
        }
        let outcome = self.work_out(before, response);
        self.outcomes.insert(hash, outcome.clone());
        Ok(outcome)
    }

    fn work_out(&mut self, before: &Arc<Holdings>, response: &Response<Id>) -> Outcome {
        let mut resources = before.resources.clone();
        let (mut changed, mut needs_changed) = (false, false);
        for id in &response.resources {
            let known = &self.known[id.0];
            let version = |id: &Id| &self.known[id.0].version;
            if resources.get(&known.name).map(version) != Some(&known.version) {
                changed = true;
                needs_changed |= !known.needs.is_empty();
            }
            resources.insert(known.name.clone(), *id);
        }
        for name in &response.removed {
            changed |= resources.remove(name.as_str()).is_some();
        }
        let needs: Names = resources.values().flat_map(|id| &self.known[id.0].needs).cloned().collect();
        // The same names as before stay the same value, which tells at a glance that there is nothing to ask for.
        let needs = if *before.needs == needs { before.needs.clone() } else { Arc::new(needs) };
        self.holdings += 1;
        Outcome { holdings: Arc::new(Holdings { number: self.holdings, resources, needs }), changed, needs_changed }
    }

    /// The versions of what is held, by name.
    pub(super) fn versions(&self, holdings: &Holdings) -> BTreeMap<String, String> {
        let text = |(name, id): (&Arc<str>, &Id)| (name.to_string(), self.known[id.0].version.to_string());
        holdings.resources.iter().map(text).collect()
    }

    /// Forgets what responses led to; proxies keep what they hold.
    pub(super) fn forget(&mut self) {
        self.outcomes.clear();
    }
}

// === impl Holdings ===

impl Holdings {
    /// Whether there is a virtual host of that table.
    pub(super) fn has_any_of(&self, table: &str) -> bool {
        let following = self.resources.range::<str, _>((Bound::Excluded(table), Bound::Unbounded)).map(|(name, _)| name);
        let mut hosts = following.take_while(|name| name.starts_with(table));
        hosts.any(|name| name.rsplit_once('/').is_some_and(|(own, _)| own == table))
    }
}

// === impl Known ===

impl Known {
    fn of(resource: &RawResource) -> anyhow::Result<Self> {
        let text = |bytes| Ok::<Arc<str>, std::str::Utf8Error>(std::str::from_utf8(bytes)?.into());
        let (name, version) = (text(&resource.name)?, text(&resource.version)?);
        let needs = match Kind::of(&resource.type_url) {
            Some(kind) => kind.names_in(&resource.body).with_context(|| format!("resource {name:?}"))?,
            None => Vec::new(),
        };
        Ok(Self { name, version, needs: needs.into_iter().map(Into::into).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_api::envoy::config::cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType},
    };
    use prost::Message;

    fn cluster(name: &str, version: &str) -> RawResource {
        let cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32));
        let cluster = Cluster { name: name.to_owned(), alt_stat_name: version.to_owned(), cluster_discovery_type, ..Cluster::default() };
        RawResource {
            name: name.into(),
            version: version.into(),
            type_url: Kind::Clusters.type_url().into(),
            body: cluster.encode_to_vec(),
        }
    }

    fn response(catalog: &mut Catalog, clusters: &[(&str, &str)], removed: &[&str]) -> Response<Id> {
        let resources = clusters.iter().map(|(name, version)| catalog.take(&cluster(name, version))).collect();
        Response { resources, removed: removed.iter().map(|name| (*name).to_owned()).collect(), ..Response::default() }
    }

    fn names(holdings: &Holdings) -> Vec<&str> {
        holdings.needs.iter().map(|name| &**name).collect()
    }

    #[test]
    fn a_body_is_decoded_once() {
        let mut catalog = Catalog::default();
        let (a, again, other) = (catalog.take(&cluster("a", "1")), catalog.take(&cluster("a", "1")), catalog.take(&cluster("a", "2")));
        assert_eq!((a, catalog.known.len()), (again, 2));
        assert_ne!(a, other);
    }

    #[test]
    fn equal_responses_to_equal_holdings_lead_to_one_value() {
        let mut catalog = Catalog::default();
        let nothing = Arc::new(Holdings::default());
        let first = response(&mut catalog, &[("a", "1"), ("b", "1")], &[]);
        let one = catalog.apply(&nothing, &first).unwrap();
        let other = catalog.apply(&nothing, &Response { nonce: "x".to_owned(), ..first }).unwrap();
        assert!(Arc::ptr_eq(&one.holdings, &other.holdings));
        assert_eq!((names(&one.holdings), one.changed, one.needs_changed), (vec!["a", "b"], true, true));
        assert_eq!(catalog.versions(&one.holdings), [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned())].into());
    }

    #[test]
    fn only_another_version_is_a_change() {
        let mut catalog = Catalog::default();
        let first = response(&mut catalog, &[("a", "1"), ("b", "1")], &[]);
        let held = catalog.apply(&Arc::default(), &first).unwrap().holdings;
        let same = response(&mut catalog, &[("b", "1")], &["unknown"]);
        assert!(!catalog.apply(&held, &same).unwrap().changed);
        let newer = response(&mut catalog, &[("b", "2")], &[]);
        let outcome = catalog.apply(&held, &newer).unwrap();
        assert!(outcome.changed && Arc::ptr_eq(&outcome.holdings.needs, &held.needs));
        let gone = response(&mut catalog, &[], &["a"]);
        let outcome = catalog.apply(&held, &gone).unwrap();
        assert_eq!((names(&outcome.holdings), outcome.changed), (vec!["b"], true));
    }

    #[test]
    fn a_resource_that_is_none_is_named() {
        let mut catalog = Catalog::default();
        let id = catalog.take(&RawResource { body: vec![0xff], ..cluster("broken", "1") });
        let response = Response { resources: vec![id], ..Response::default() };
        let error = catalog.apply(&Arc::default(), &response).unwrap_err();
        assert_eq!(format!("{error:#}").split(':').next(), Some(r#"resource "broken""#));
    }
}
