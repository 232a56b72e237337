//! `localityLbSetting`: which localities a client's traffic goes to.

use std::{collections::BTreeSet, sync::Arc};

use ferromesh_crds::networking::load_balancer::{LocalityDistribute, LocalityFailover, LocalityLoadBalancer};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model;

/// Labels that say where a node is: what `failover` decides by already.
const TOPOLOGY: [&str; 3] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
/// The sum of shares: they are percent.
const WHOLE: u64 = 100;

/// Which localities the traffic goes to.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, setting: &LocalityLoadBalancer, outlier: bool) -> model::LocalityBalancing {
    reading.at_most_one(at, [("distribute", !setting.distribute.is_empty()), ("failover", !setting.failover.is_empty())]);
    let list = at.field("distribute");
    let distribute = setting.distribute.iter().enumerate().map(|(index, one)| distribute(reading, &list.index(index), one)).collect();
    let sources: Vec<&str> = setting.distribute.iter().map(|one| one.from.as_deref().unwrap_or_default()).collect();
    for (index, defect) in defects(&sources) {
        reading.error(&list.index(index).field("from"), Code::BadName, defect);
    }
    check_failover(reading, at, &setting.failover, &setting.failover_priority, outlier);
    model::LocalityBalancing {
        enabled: setting.enabled,
        distribute,
        failover: failover(&setting.failover),
        failover_priority: setting.failover_priority.iter().map(|label| label.as_str().into()).collect(),
    }
}

fn distribute(reading: &mut Reading<'_>, at: &At<'_>, distribute: &LocalityDistribute) -> model::LocalityShares {
    let to = at.field("to");
    for (locality, share) in distribute.to.iter().filter(|(_, share)| !(1..=100).contains(*share)) {
        reading.error(&to.key(locality), Code::OutOfRange, format!("{share} must be from 1 to 100"));
    }
    let sum: u64 = distribute.to.values().map(|share| u64::from(*share)).sum();
    if sum != WHOLE {
        reading.error(&to, Code::BadWeights, format!("shares add up to {sum}, not {WHOLE}"));
    }
    let localities: Vec<&str> = distribute.to.keys().map(String::as_str).collect();
    for (index, defect) in defects(&localities) {
        reading.error(&to.key(localities[index]), Code::BadName, defect);
    }
    model::LocalityShares {
        from: distribute.from.as_deref().unwrap_or_default().into(),
        to: distribute.to.iter().map(|(locality, share)| (locality.as_str().into(), *share)).collect(),
    }
}

/// What is wrong with localities of one list, by position: each is malformed, or lies within another.
pub(in crate::config) fn defects(localities: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (index, locality) in localities.iter().enumerate() {
        if let Some(defect) = defect(locality) {
            found.push((index, defect));
        } else if !taken.insert(area(locality)) {
            found.push((index, format!("{} is named twice", quoted(locality))));
        }
    }
    for (index, locality) in localities.iter().enumerate().filter(|(_, locality)| defect(locality).is_none()) {
        let own = area(locality);
        let outer = own.match_indices('/').take(2).map(|(end, _)| &own[..end]).chain((!own.is_empty()).then_some(""));
        if let Some(outer) = outer.filter(|outer| taken.contains(outer)).last() {
            let outer = if outer.is_empty() { "*" } else { outer };
            found.push((index, format!("{} lies within {}, which has a share of its own", quoted(locality), quoted(outer))));
        }
    }
    found
}

/// A locality without the `*` at its end: what it stands for begins with it.
fn area(locality: &str) -> &str {
    locality.trim_end_matches('*').trim_end_matches('/')
}

fn defect(locality: &str) -> Option<String> {
    let stars = locality.matches('*').count();
    if stars > 1 || stars == 1 && !locality.ends_with('*') {
        return Some(format!("{}: '*' stands once, and at the end", quoted(locality)));
    }
    locality.splitn(3, '/').any(str::is_empty).then(|| format!("{} is not of the form REGION/ZONE/SUBZONE", quoted(locality)))
}

/// What stands in for what, as values.
pub(super) fn failover(entries: &[LocalityFailover]) -> Vec<(Arc<str>, Arc<str>)> {
    let text = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
    entries.iter().map(|entry| (text(&entry.from), text(&entry.to))).collect()
}

/// Regions that stand in for others.
pub(super) fn check_failover(reading: &mut Reading<'_>, at: &At<'_>, entries: &[LocalityFailover], priority: &[String], outlier: bool) {
    let list = at.field("failover");
    for (index, failover) in entries.iter().enumerate() {
        let (from, to) = (failover.from.as_deref().unwrap_or_default(), failover.to.as_deref().unwrap_or_default());
        if from == to {
            reading.error(&list.index(index), Code::Conflict, format!("{} can't stand in for itself", quoted(from)));
        }
        if from.contains(['/', '*']) || to.contains(['/', '*']) {
            reading.error(&list.index(index), Code::BadName, "from and to are regions, without zones or '*'");
        }
    }
    let labels = at.field("failoverPriority");
    for (index, label) in priority.iter().enumerate().filter(|_| !entries.is_empty()) {
        if TOPOLOGY.contains(&label.as_str()) {
            let message = format!("{} says where a node is, which failover decides by already", quoted(label));
            reading.error(&labels.index(index), Code::Conflict, message);
        }
    }
    if !outlier && (!entries.is_empty() || !priority.is_empty()) {
        reading.warn(at, Code::NoEffect, "without outlierDetection beside it no locality ever fails over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localities_of_one_list_lie_apart() {
        let of = |localities: &[&str]| defects(localities).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert!(of(&["r1/z1/*", "r1/z2/*", "r2/*"]).is_empty());
        assert_eq!(of(&["r1/z1/*", "r1/*"]), [0]);
        assert_eq!(of(&["*", "r1"]), [1]);
        assert_eq!(of(&["r1", "r1/*"]), [1]);
        assert_eq!(of(&["r1//s1", "a*b", "**", ""]), [0, 1, 2, 3]);
    }
}
