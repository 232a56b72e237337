//! The bootstrap as a whole, and what the real Envoy says of it.

use envoy_api::{envoy::config::bootstrap::v3::Bootstrap, json};
use prost::Message;

use super::bootstrap;
use crate::agent::{Ports, ProxyFacts, node::tests::facts};
use crate::model::{ProxyRole, ProxySettings, ProxyStatistics};
use crate::testing::envoy;

#[test]
fn a_sidecars_bootstrap() {
    insta::assert_json_snapshot!("sidecar", json::to_value(&bootstrap(&facts(), &Ports::default())).unwrap());
}

#[test]
fn equal_facts_give_equal_bytes() {
    let encoded = || bootstrap(&facts(), &Ports::default()).encode_to_vec();
    assert_eq!(encoded(), encoded());
}

#[test]
fn certificates_come_before_the_cluster_that_needs_them() {
    let clusters = bootstrap(&facts(), &Ports::default()).static_resources.unwrap().clusters;
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["prometheus_stats", "agent", "sds-grpc", "xds-grpc"]);
}

fn self_discovering() -> ProxyFacts {
    let mut facts = facts();
    facts.metadata.insert("ENABLE_SELF_DISCOVERY".to_owned(), "true".to_owned());
    facts
}

#[test]
fn a_proxy_that_counts_its_own_kind_has_a_cluster_for_it() {
    let bootstrap = bootstrap(&self_discovering(), &Ports::default());
    let local = bootstrap.cluster_manager.unwrap().local_cluster_name;
    assert_eq!(local, "local_cluster");
    assert!(bootstrap.static_resources.unwrap().clusters.iter().any(|cluster| cluster.name == local));
}

fn chosen_statistics() -> ProxyStatistics {
    let mut statistics = ProxyStatistics::default();
    for (annotation, text) in [
        ("statsInclusionPrefixes", "cluster.outbound,http.inbound"),
        ("statsInclusionSuffixes", "upstream_rq_time"),
        ("statsInclusionRegexps", "cluster\\..*_5xx"),
        ("statsHistogramBuckets", r#"{"cluster":[1,10,100]}"#),
        ("statsFlushInterval", "7s"),
        ("statsEvictionInterval", "10m"),
    ] {
        statistics.set(&format!("sidecar.istio.io/{annotation}"), text).unwrap();
    }
    statistics
}

#[test]
fn statistics_are_those_that_the_pod_chooses_and_those_that_the_mesh_reads() {
    let chosen = bootstrap(&ProxyFacts { statistics: chosen_statistics(), ..facts() }, &Ports::default());
    let json = json::to_value(&chosen).unwrap();
    let fields = ["stats_config", "stats_flush_interval", "stats_eviction_interval"].map(|field| (field, &json[field]));
    insta::assert_json_snapshot!("statistics", std::collections::BTreeMap::from(fields));
}

#[test]
fn envoy_accepts_every_form() {
    let six = "fd00::7".parse().unwrap();
    let direct = ProxySettings { discovery_address: "127.0.0.1:15012".to_owned(), ..ProxySettings::default() };
    let forms = [
        facts(),
        ProxyFacts { statistics: chosen_statistics(), ..facts() },
        ProxyFacts { role: ProxyRole::Router, addresses: vec![six, [10, 9, 0, 7].into()], ..facts() },
        ProxyFacts { proxy_config: direct, node: None, ..facts() },
        self_discovering(),
    ];
    let validate = |bootstrap: &Bootstrap| envoy::validate(&json::to_value(bootstrap).unwrap());
    for facts in forms {
        assert_eq!(validate(&bootstrap(&facts, &Ports::default())), Ok(()));
    }
    // The check itself: Envoy says no to what it does not understand.
    let mut broken = bootstrap(&facts(), &Ports::default());
    broken.static_resources.as_mut().unwrap().clusters[0].name.clear();
    assert!(validate(&broken).unwrap_err().contains("Name: value length must be at least 1"));
}
