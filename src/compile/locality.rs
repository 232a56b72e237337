//! Which localities a cluster's traffic goes to: in shares that a policy gives, or near ones first and others once those fail.

use std::{collections::BTreeMap, sync::Arc};

use super::scope::Scope;
use crate::model::{Endpoint, Labels, LocalityBalancing, LocalityShares, MeshConfig, TrafficPolicy, ZoneAwareBalancing};

/// Labels that say where a node is, from the greatest area to the smallest.
const TOPOLOGY: [&str; 3] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
/// How near an endpoint is at worst: in a region that is not to stand in for the client's.
const FARTHEST: u32 = 4;
const OTHER_REGION: u32 = 3;
const SAME_REGION: u32 = 2;

/// What decides between localities.
#[derive(Debug)]
pub(super) enum Preference<'p> {
    /// Shares by the client's locality.
    Shares(&'p [LocalityShares]),
    /// The nearest that works. Where the setting says nothing more, localities as such decide.
    Nearest(&'p LocalityBalancing),
    /// The client's region, and within it its zone as far as that can serve: Envoy finds out how far that is.
    Zone(&'p ZoneAwareBalancing),
}

/// What decides between the localities of a cluster with that policy, if anything; the mesh's setting counts where the policy has none.
/// Localities never fail where no endpoint is ever found to fail, so without outlier detection only shares and zones matter.
pub(super) fn preference<'p>(policy: &'p TrafficPolicy, mesh: &'p MeshConfig) -> Option<Preference<'p>> {
    let balancing = policy.load_balancer.as_ref();
    if let Some(setting) = balancing.and_then(|balancing| balancing.zone_aware.as_ref()) {
        return Some(Preference::Zone(setting));
    }
    let setting = balancing.and_then(|balancing| balancing.locality.as_ref()).unwrap_or(&mesh.locality_lb_setting);
    match setting {
        setting if setting.enabled == Some(false) => None,
        setting if !setting.distribute.is_empty() => Some(Preference::Shares(&setting.distribute)),
        setting => policy.outlier_detection.is_some().then_some(Preference::Nearest(setting)),
    }
}

// === impl Preference ===

impl Preference<'_> {
    /// The ranks of endpoints for the proxy, 0 for those that are used first. No rank is left out.
    pub(super) fn ranks(&self, scope: &Scope<'_>, endpoints: &[&Endpoint]) -> Vec<u32> {
        let (labels, failover, zones) = match self {
            Self::Nearest(setting) => (&*setting.failover_priority, &*setting.failover, true),
            Self::Zone(setting) if setting.enabled != Some(false) => (&*setting.failover_priority, &*setting.failover, false),
            Self::Zone(_) | Self::Shares(_) => return vec![0; endpoints.len()],
        };
        let own = scope.locality().clone();
        let wanted: Vec<(&str, Option<String>)> = labels.iter().map(|label| wanted(scope, &own, label)).collect();
        // Among zones Envoy chooses itself: regions alone are told apart, always.
        let place = |it: &Endpoint| match distance(&own, &it.locality, failover) {
            far if !zones => far.max(SAME_REGION),
            _ if !labels.is_empty() && failover.is_empty() => 0,
            far => far,
        };
        let distances: Vec<(u32, u32)> = endpoints.iter().map(|it| (missing(&wanted, it), place(it))).collect();
        let ranks: BTreeMap<(u32, u32), u32> = distances.iter().map(|distance| (*distance, 0)).collect();
        let ranks: BTreeMap<(u32, u32), u32> = ranks.into_keys().zip(0..).collect();
        distances.iter().map(|distance| ranks[distance]).collect()
    }

    /// The weights of localities for the proxy, whose own weights are given; 0 for those that get nothing. `None` leaves them as they are.
    pub(super) fn weights(&self, scope: &Scope<'_>, localities: &[(&str, u32)]) -> Option<Vec<u32>> {
        let Self::Shares(rules) = self else { return None };
        let own = scope.locality();
        let shares = &rules.iter().find(|rule| within(own, &rule.from))?.to;
        let mut weights = vec![0; localities.len()];
        for (pattern, share) in shares {
            let places: Vec<usize> =
                (0..localities.len()).filter(|place| weights[*place] == 0 && within(localities[*place].0, pattern)).collect();
            let sum: u64 = places.iter().map(|place| u64::from(localities[*place].1)).sum();
            for place in places {
                // What several localities share is divided by their own weights; each gets something.
                let part = (u64::from(localities[place].1) * u64::from(*share)).div_ceil(sum.max(1));
                weights[place] = u32::try_from(part).unwrap_or(u32::MAX).max(1);
            }
        }
        Some(weights)
    }
}

/// Whether a locality is in the area that a pattern names: `region/zone/*`, or fewer parts.
fn within(locality: &str, pattern: &str) -> bool {
    let mut parts = locality.splitn(3, '/');
    pattern.splitn(3, '/').take_while(|part| *part != "*").all(|part| parts.next().unwrap_or_default() == part)
}

/// How far away a locality is: 0 for the client's own, then its zone, its region, other regions, and those that don't stand in for its own.
fn distance(own: &str, other: &str, failover: &[(Arc<str>, Arc<str>)]) -> u32 {
    if own.is_empty() {
        return 0;
    }
    let (mine, theirs) = (parts(own), parts(other));
    let shared = mine.iter().zip(&theirs).take_while(|(mine, theirs)| mine == theirs).count();
    if shared > 0 {
        return OTHER_REGION - u32::try_from(shared).unwrap_or(OTHER_REGION);
    }
    match failover.iter().find(|(from, _)| **from == *mine[0]) {
        Some((_, to)) if **to != *theirs[0] => FARTHEST,
        _ => OTHER_REGION,
    }
}

fn parts(locality: &str) -> [&str; 3] {
    let mut parts = locality.splitn(3, '/');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// A label of `failoverPriority`, with the value that endpoints should have: the one that it gives, else the client's own.
fn wanted<'l>(scope: &Scope<'_>, own: &str, label: &'l str) -> (&'l str, Option<String>) {
    match label.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (label, place(own, label).map(str::to_owned).or_else(|| scope.label(label).map(|value| value.to_string()))),
    }
}

/// How many of the labels count no more, since one before them or they themselves differ.
fn missing(wanted: &[(&str, Option<String>)], endpoint: &Endpoint) -> u32 {
    let same = |(name, value): &&(&str, Option<String>)| value.as_deref() == value_of(&endpoint.labels, &endpoint.locality, name);
    let matching = wanted.iter().take_while(same).count();
    u32::try_from(wanted.len() - matching).unwrap_or(u32::MAX)
}

fn value_of<'v>(labels: &'v Labels, locality: &'v str, name: &str) -> Option<&'v str> {
    place(locality, name).or_else(|| labels.get(name).map(String::as_str))
}

/// The part of a locality that a label of nodes stands for.
fn place<'v>(locality: &'v str, label: &str) -> Option<&'v str> {
    let index = TOPOLOGY.iter().position(|name| *name == label)?;
    Some(parts(locality)[index]).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_what_begins_with_its_parts() {
        let takes = |pattern| ["r1/z1/s1", "r1/z1", "r1/z10/s1", "r2/z1/s1"].map(|locality| within(locality, pattern));
        assert_eq!(takes("*"), [true; 4]);
        assert_eq!(takes("r1/*"), [true, true, true, false]);
        assert_eq!(takes("r1/z1/*"), [true, true, false, false]);
        assert_eq!(takes("r1/z1/s1"), [true, false, false, false]);
    }

    #[test]
    fn distance_grows_with_the_area_that_is_shared() {
        let failover = [("r1".into(), "r2".into())];
        let far = |other| distance("r1/z1/s1", other, &failover);
        assert_eq!(["r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1"].map(far), [0, 1, 2, 3, 4]);
        assert_eq!(distance("r9/z1", "r3/z1", &failover), 3);
        assert_eq!(distance("", "r3/z1", &failover), 0);
    }
}
