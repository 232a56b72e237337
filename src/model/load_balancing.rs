//! How an endpoint is chosen among those of a service.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::PerMillion;

/// `loadBalancer` of a traffic policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadBalancing {
    /// The algorithm; `None` for the mesh's choice.
    pub algorithm: Option<LoadBalancer>,
    /// Preference of near endpoints; `None` for the mesh's setting.
    pub locality: Option<LocalityBalancing>,
    /// Preference of the client's own zone.
    pub zone_aware: Option<ZoneAwareBalancing>,
    /// How new endpoints get their share.
    pub warmup: Option<Warmup>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadBalancer {
    /// The less busy of two picked at random: the default.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// The address that the client asked for.
    Passthrough,
    /// The same for requests that have a property in common.
    ConsistentHash(ConsistentHash),
}

/// `consistentHash`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistentHash {
    /// The property; `None` leaves the choice to chance.
    pub key: Option<HashKey>,
    /// How hashes find endpoints.
    pub table: HashTable,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// A header, in lower case.
    Header(Arc<str>),
    /// A cookie.
    Cookie(HashCookie),
    /// The client's address.
    SourceAddress,
    /// A query parameter.
    QueryParameter(Arc<str>),
}

/// A cookie that is hashed, and set where the client has none.
#[derive(Clone, Debug, PartialEq)]
pub struct HashCookie {
    /// Its name.
    pub name: Arc<str>,
    /// Its path.
    pub path: Option<Arc<str>>,
    /// How long it lives: zero for the session; `None`: it is never set.
    pub ttl: Option<Duration>,
    /// More of its attributes.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

/// How hashes find endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTable {
    /// A ring.
    Ring {
        /// The least number of points on it; `None` for the default.
        minimum_size: Option<u64>,
    },
    /// Maglev's table.
    Maglev {
        /// Its size, a prime; `None` for the default.
        size: Option<u64>,
    },
}

/// `localityLbSetting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LocalityBalancing {
    /// Whether it is in force; `None` means yes.
    pub enabled: Option<bool>,
    /// Shares of the traffic by the client's locality.
    pub distribute: Vec<LocalityShares>,
    /// What stands in for a region: from, to.
    #[serde(with = "region_pairs")]
    pub failover: Vec<(Arc<str>, Arc<str>)>,
    /// Labels, or `label=value`, in order of weight.
    pub failover_priority: Vec<Arc<str>>,
}

/// Where the traffic of one locality goes. Localities are `region/zone/subzone`, with `*` at the end for all that begin so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalityShares {
    /// The client's locality.
    pub from: Arc<str>,
    /// Shares by locality, in percent; they add up to 100.
    pub to: BTreeMap<Arc<str>, u32>,
}

/// `zoneAwareLbSetting`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZoneAwareBalancing {
    /// Whether it is in force; `None` means yes.
    pub enabled: Option<bool>,
    /// What stands in for a region: from, to.
    pub failover: Vec<(Arc<str>, Arc<str>)>,
    /// Labels, or `label=value`, in order of weight.
    pub failover_priority: Vec<Arc<str>>,
    /// With fewer endpoints than this, zones don't matter.
    pub min_cluster_size: Option<u32>,
}

/// `warmup`: new endpoints get little at first.
#[derive(Clone, Debug, PartialEq)]
pub struct Warmup {
    /// Until an endpoint gets its full share.
    pub duration: Duration,
    /// The share at the start; `None` for the default.
    pub minimum: Option<PerMillion>,
    /// The curve: 1 is a line, more starts slower.
    pub aggression: Option<f64>,
}

/// Pairs of regions as settings write them: objects with `from` and `to`.
mod region_pairs {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// From and to.
    type Pairs = Vec<(Arc<str>, Arc<str>)>;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        from: Arc<str>,
        to: Arc<str>,
    }

    pub(super) fn serialize<S: Serializer>(pairs: &[(Arc<str>, Arc<str>)], serializer: S) -> Result<S::Ok, S::Error> {
        pairs.iter().map(|(from, to)| Pair { from: from.clone(), to: to.clone() }).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        Ok(Vec::<Pair>::deserialize(deserializer)?.into_iter().map(|pair| (pair.from, pair.to)).collect())
    }
}

impl From<LoadBalancer> for LoadBalancing {
    fn from(algorithm: LoadBalancer) -> Self {
        Self { algorithm: Some(algorithm), ..Self::default() }
    }
}
