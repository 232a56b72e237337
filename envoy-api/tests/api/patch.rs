//! Changes that users write, merged into messages.

use serde_json::{Value, json};

use envoy_api::envoy::config::cluster::v3::Cluster;
use envoy_api::envoy::config::listener::v3::Filter;
use envoy_api::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_api::json::{Lists, Patch, from_value, to_value};
use prost::{Message, Name};

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// What a patch makes of a message.
fn merged<M: Message + Name + Default>(target: Value, patch: Value, lists: Lists) -> Value {
    let target: M = from_value(target).expect("the target is one");
    let patch = Patch::read(&M::full_name(), patch).expect("the patch is one");
    to_value(&patch.merged_into(&target, lists).expect("they can be merged")).expect("JSON")
}

#[test]
fn what_is_set_takes_the_place_of_what_was_and_the_rest_stays() {
    let target = json!({"name": "a", "connect_timeout": "10s", "circuit_breakers": {"thresholds": [{"max_requests": 1}]}});
    let patch = json!({"connectTimeout": "0.5s", "lb_policy": "RANDOM", "circuit_breakers": {"thresholds": [{"max_retries": 2}]}});
    let expected = json!({
        "name": "a", "connect_timeout": "0.500s", "lb_policy": "RANDOM",
        "circuit_breakers": {"thresholds": [{"max_requests": 1}, {"max_retries": 2}]},
    });
    assert_eq!(merged::<Cluster>(target.clone(), patch.clone(), Lists::Append), expected);
    let replaced = merged::<Cluster>(target, patch, Lists::Replace);
    assert_eq!(replaced["circuit_breakers"]["thresholds"], json!([{"max_retries": 2}]));
}

#[test]
fn a_false_takes_the_place_of_a_true() {
    let target = json!({"use_remote_address": true, "normalize_path": true, "stat_prefix": "a"});
    let found = merged::<HttpConnectionManager>(target, json!({"use_remote_address": false}), Lists::Append);
    assert_eq!(found, json!({"use_remote_address": false, "normalize_path": true, "stat_prefix": "a"}));
}

#[test]
fn one_of_several_takes_the_place_of_another() {
    let target = json!({"type": "EDS", "eds_cluster_config": {"service_name": "a"}});
    let found = merged::<Cluster>(target, json!({"cluster_type": {"name": "envoy.cluster.dns"}}), Lists::Append);
    assert_eq!(found, json!({"cluster_type": {"name": "envoy.cluster.dns"}, "eds_cluster_config": {"service_name": "a"}}));
}

#[test]
fn packed_messages_of_one_type_are_merged_others_replaced() {
    let target =
        json!({"name": "http", "typed_config": {"@type": MANAGER, "stat_prefix": "a", "via": "b", "http_filters": [{"name": "x"}]}});
    let patch = json!({"typed_config": {"@type": MANAGER, "via": "c", "http_filters": [{"name": "y"}]}});
    let found = merged::<Filter>(target.clone(), patch.clone(), Lists::Append);
    let config = json!({"@type": MANAGER, "stat_prefix": "a", "via": "c", "http_filters": [{"name": "x"}, {"name": "y"}]});
    assert_eq!(found, json!({"name": "http", "typed_config": config}));
    assert_eq!(merged::<Filter>(target.clone(), patch, Lists::Replace)["typed_config"]["http_filters"], json!([{"name": "y"}]));
    let other = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "d"});
    assert_eq!(merged::<Filter>(target, json!({"typed_config": other}), Lists::Append), json!({"name": "http", "typed_config": other}));
}

#[test]
fn a_packed_type_is_known_and_unknown_fields_are_refused() {
    let read = |value| Patch::read(&Filter::full_name(), value);
    let patch = read(json!({"typed_config": {"@type": MANAGER}})).unwrap();
    assert_eq!(patch.packed_type("typed_config").as_deref(), MANAGER.rsplit('/').next());
    assert_eq!(read(json!({"name": "a"})).unwrap().packed_type("typed_config"), None);
    assert!(read(json!({"nme": "a"})).is_err());
    assert!(read(json!({"typed_config": {"@type": "type.googleapis.com/no.Such"}})).is_err());
}
