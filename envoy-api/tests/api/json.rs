//! Messages as JSON.

use std::collections::BTreeMap;

use prost_types::Any;
use serde_json::json;

use envoy_api::any;
use envoy_api::envoy::config::core::v3::{Address, SocketOption};
use envoy_api::envoy::config::core::v3::{Metadata, SocketAddress, address, socket_address};
use envoy_api::envoy::config::listener::v3::filter::ConfigType;
use envoy_api::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_api::envoy::config::route::v3::route::Action;
use envoy_api::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_api::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_api::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost};
use envoy_api::envoy::extensions::filters::http::router::v3::Router;
use envoy_api::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_api::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpConfigType;
use envoy_api::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter};
use envoy_api::json::{JsonError, from_value, pool, to_value};
use prost::Message;

/// A listener with a packed message in a packed message, and maps at two depths.
fn listener() -> Listener {
    let per_filter = ["envoy.filters.http.cors", "a", "z", "m", "envoy.filters.http.fault"];
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster("reviews".into())),
            timeout: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            ..Default::default()
        })),
        typed_per_filter_config: per_filter.iter().map(|name| ((*name).to_owned(), any(&Router::default()))).collect(),
        ..Default::default()
    };
    let hcm = HttpConnectionManager {
        stat_prefix: "inbound".into(),
        route_specifier: Some(RouteSpecifier::RouteConfig(RouteConfiguration {
            virtual_hosts: vec![VirtualHost { name: "all".into(), domains: vec!["*".into()], routes: vec![route], ..Default::default() }],
            ..Default::default()
        })),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".into(),
            config_type: Some(HttpConfigType::TypedConfig(any(&Router { suppress_envoy_headers: true, ..Default::default() }))),
            ..Default::default()
        }],
        ..Default::default()
    };
    let entry = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
    let fields = ["b", "a", "c"].map(|key| (key.to_owned(), entry(key))).into();
    Listener {
        name: "virtualInbound".into(),
        address: Some(Address {
            address: Some(address::Address::SocketAddress(SocketAddress {
                address: "0.0.0.0".into(),
                port_specifier: Some(socket_address::PortSpecifier::PortValue(15006)),
                ..Default::default()
            })),
        }),
        metadata: Some(Metadata {
            filter_metadata: BTreeMap::from([("z".into(), prost_types::Struct { fields }), ("a".into(), Default::default())]),
            ..Default::default()
        }),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".into(),
                config_type: Some(ConfigType::TypedConfig(any(&hcm))),
            }],
            ..Default::default()
        }],
        per_connection_buffer_limit_bytes: Some(32_768),
        socket_options: vec![SocketOption { level: 6, name: 9, ..Default::default() }],
        ..Default::default()
    }
}

#[test]
fn listener_comes_back_from_its_json() {
    let listener = listener();
    let value = to_value(&listener).expect("JSON");
    assert_eq!(from_value::<Listener>(value).expect("a Listener"), listener);
}

#[test]
fn packed_messages_are_opened_at_every_depth() {
    let value = to_value(&listener()).expect("JSON");
    let hcm = &value["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(hcm["@type"], "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager");
    assert_eq!(
        hcm["http_filters"][0]["typed_config"],
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true})
    );
    assert_eq!(hcm["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"], "1.500s");
    assert_eq!(value["per_connection_buffer_limit_bytes"], 32_768);
}

#[test]
fn bytes_do_not_depend_on_the_order_of_maps() {
    let wanted = listener().encode_to_vec();
    // Each conversion hashes its maps with new keys, so that an order which is left to them shows.
    for _ in 0..20 {
        let value = to_value(&listener()).expect("JSON");
        let packed: Any = from_value(to_value(&any(&listener())).expect("JSON")).expect("an Any");
        assert!(from_value::<Listener>(value).expect("a Listener").encode_to_vec() == wanted);
        assert!(packed.value == wanted);
    }
}

#[test]
fn every_descriptor_can_be_used() {
    assert!(pool().files().len() > 500);
    assert!(pool().get_service_by_name("envoy.service.discovery.v3.AggregatedDiscoveryService").is_some());
}

#[test]
fn unknown_field_is_refused_by_name() {
    let error = from_value::<Listener>(json!({"name": "a", "adress": {}})).expect_err("no such field");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(error.to_string(), "envoy.config.listener.v3.Listener as JSON");
    assert!(source.contains("'adress'"), "{source}");
}

#[test]
fn unknown_packed_type_is_refused_by_name() {
    let packed = Any { type_url: "type.googleapis.com/envoy.Nothing".into(), value: Vec::new() };
    let source = to_value(&packed).err().and_then(|error| std::error::Error::source(&error).map(ToString::to_string));
    assert!(source.as_ref().is_some_and(|source| source.contains("envoy.Nothing")), "{source:?}");
    let value = json!({"@type": "type.googleapis.com/envoy.Nothing"});
    assert!(matches!(from_value::<Any>(value), Err(JsonError::Json { .. })));
}
