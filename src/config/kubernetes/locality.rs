//! Where a node, and what runs on it, is.

use std::{collections::BTreeMap, sync::Arc};

/// Labels that name a region, the preferred one first.
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// The same for a zone.
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
/// The same for a part of a zone, which Kubernetes does not know.
const SUBZONE: [&str; 1] = ["topology.istio.io/subzone"];

/// The locality that a node's labels tell, as `region/zone/subzone` without empty parts at the end; empty if they tell none.
pub fn locality(labels: &BTreeMap<String, String>) -> Arc<str> {
    let part = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).map_or("", String::as_str);
    let all = format!("{}/{}/{}", part(&REGION), part(&ZONE), part(&SUBZONE));
    all.trim_end_matches('/').into()
}

/// The locality of a pod: what it claims for itself by the label `istio-locality`, where dots stand for slashes, which labels can't
/// hold; otherwise its node's.
pub fn workload_locality(labels: &BTreeMap<String, String>, of_node: &Arc<str>) -> Arc<str> {
    match labels.get("istio-locality").filter(|claimed| !claimed.is_empty()) {
        Some(claimed) => claimed.replace('.', "/").into(),
        None => of_node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_node_is_where_its_topology_labels_say() {
        let region = ("topology.kubernetes.io/region", "r");
        assert_eq!(&*locality(&labels(&[region, ("topology.kubernetes.io/zone", "z")])), "r/z");
        assert_eq!(&*locality(&labels(&[region, ("topology.istio.io/subzone", "s")])), "r//s");
        assert_eq!(&*locality(&labels(&[("failure-domain.beta.kubernetes.io/region", "old")])), "old");
        assert_eq!(&*locality(&labels(&[("kubernetes.io/hostname", "n")])), "");
    }

    #[test]
    fn the_stable_label_outweighs_the_old_one() {
        let both = [
            ("failure-domain.beta.kubernetes.io/zone", "old"),
            ("topology.kubernetes.io/zone", "z"),
            ("topology.kubernetes.io/region", "r"),
        ];
        assert_eq!(&*locality(&labels(&both)), "r/z");
    }

    #[test]
    fn a_pod_may_say_itself_where_it_is() {
        assert_eq!(&*workload_locality(&labels(&[("istio-locality", "r.z.s")]), &"a/b".into()), "r/z/s");
        assert_eq!(&*workload_locality(&labels(&[("istio-locality", "")]), &"a/b".into()), "a/b");
    }
}
