//! Listeners of what the application calls.

use serde_json::{Value, json};

use super::{compiled, json, names, proxy};
use crate::compile::{Compiled, ResourceType, compile};
use crate::model::{HostPattern, NormalizationType, OutboundTrafficMode, Resolution, TcpMatch, TcpRoute, TlsMatch, TlsRoute};
use crate::testing::mesh::{TestMesh, bookinfo, fqdn, labels, to, virtual_service};

fn listener(compiled: &Compiled, name: &str) -> Value {
    json(compiled, ResourceType::Listener, name)
}

fn productpage(mesh: &TestMesh) -> Compiled {
    compiled(mesh, "shop", "productpage-v1")
}

/// The last filter's configuration in a chain.
fn filter(chain: &Value) -> &Value {
    &chain["filters"].as_array().unwrap().last().unwrap()["typed_config"]
}

fn inspectors(listener: &Value) -> Vec<&str> {
    listener["listener_filters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["name"].as_str().unwrap().rsplit('.').next().unwrap())
        .collect()
}

#[test]
fn http_shares_a_listener_by_port_and_opaque_protocols_have_one_by_address() {
    assert_eq!(
        names(&productpage(&bookinfo()), ResourceType::Listener),
        [
            "0.0.0.0_443",
            "0.0.0.0_80",
            "0.0.0.0_9080",
            "10.244.9.2_5672",
            "10.244.9.3_5672",
            "10.96.0.9_7000",
            "10.96.1.1_5432",
            "10.96.2.1_31400",
            "virtualInbound",
            "virtualOutbound"
        ]
    );
}

#[test]
fn everything_arrives_at_one_port_that_does_not_call_itself() {
    let listener = listener(&productpage(&bookinfo()), "virtualOutbound");
    assert_eq!(listener["address"]["socket_address"], json!({"address": "0.0.0.0", "port_value": 15001}));
    assert_eq!((&listener["use_original_dst"], &listener["bind_to_port"]), (&json!(true), &Value::Null));
    let chains = listener["filter_chains"].as_array().unwrap();
    assert_eq!(
        (&chains[0]["name"], &chains[0]["filter_chain_match"]),
        (&json!("virtualOutbound-blackhole"), &json!({"destination_port": 15001}))
    );
    assert_eq!(filter(&chains[0])["cluster"], "BlackHoleCluster");
    assert_eq!(
        (&chains[1]["name"], &filter(&chains[1])["cluster"]),
        (&json!("virtualOutbound-catchall-tcp"), &json!("PassthroughCluster"))
    );
}

#[test]
fn undeclared_destinations_are_dropped_where_only_the_registry_counts() {
    let mut mesh = bookinfo();
    mesh.config.outbound_traffic_policy.mode = OutboundTrafficMode::RegistryOnly;
    let compiled = productpage(&mesh);
    assert_eq!(filter(&listener(&compiled, "virtualOutbound")["filter_chains"][1])["cluster"], "BlackHoleCluster");
    assert_eq!(filter(&listener(&compiled, "0.0.0.0_9080")["default_filter_chain"])["cluster"], "BlackHoleCluster");
}

#[test]
fn http_goes_by_its_routes_and_what_is_none_falls_through() {
    let listener = listener(&productpage(&bookinfo()), "0.0.0.0_9080");
    let http = &listener["filter_chains"][0];
    assert_eq!(
        http["filter_chain_match"],
        json!({"transport_protocol": "raw_buffer", "application_protocols": ["http/1.0", "http/1.1", "h2c"]})
    );
    let manager = filter(http);
    assert_eq!((&manager["rds"]["route_config_name"], &manager["stat_prefix"]), (&json!("9080"), &json!("outbound_0.0.0.0_9080;")));
    assert_eq!(filter(&listener["default_filter_chain"])["cluster"], "PassthroughCluster");
    assert_eq!((&listener["bind_to_port"], inspectors(&listener)), (&json!(false), vec!["http_inspector"]));
}

#[test]
fn a_tcp_port_leads_to_its_cluster_and_waits_for_nothing() {
    let listener = listener(&productpage(&bookinfo()), "10.96.1.1_5432");
    assert_eq!(listener["address"]["socket_address"]["address"], "10.96.1.1");
    assert_eq!(filter(&listener["default_filter_chain"])["cluster"], "outbound|5432||db.data.svc.cluster.local");
    assert_eq!(inspectors(&listener), Vec::<&str>::new());
}

#[test]
fn a_tcp_route_splits_connections_by_weight_and_range() {
    let mut mesh = bookinfo();
    let (db, other) = (fqdn("data", "db"), fqdn("data", "queue"));
    let mut routed = virtual_service("data", "db", std::slice::from_ref(&db), Vec::new());
    let subnet = TcpMatch { destination_subnets: vec!["10.96.1.0/24".parse().unwrap()], ..TcpMatch::default() };
    let foreign = TcpMatch { source_labels: labels(&[("app", "ratings")]), ..TcpMatch::default() };
    routed.tcp = vec![
        TcpRoute { matches: vec![foreign], destinations: vec![to(&other, None, 1)] },
        TcpRoute { matches: vec![subnet], destinations: vec![to(&db, Some("v2"), 1)] },
        TcpRoute { matches: Vec::new(), destinations: vec![to(&db, None, 90), to(&other, None, 10), to(&other, Some("never"), 0)] },
    ];
    mesh.virtual_services.push(routed);
    let listener = listener(&productpage(&mesh), "10.96.1.1_5432");
    assert_eq!(
        listener["filter_chains"][0]["filter_chain_match"]["prefix_ranges"],
        json!([{"address_prefix": "10.96.1.0", "prefix_len": 24}])
    );
    assert_eq!(filter(&listener["filter_chains"][0])["cluster"], "outbound|5432|v2|db.data.svc.cluster.local");
    assert_eq!(
        filter(&listener["default_filter_chain"])["weighted_clusters"]["clusters"],
        json!([
            {"name": "outbound|5432||db.data.svc.cluster.local", "weight": 90},
            {"name": "outbound|5672||queue.data.svc.cluster.local", "weight": 10}
        ])
    );
    let fields = [&listener["filter_chains"][0], &listener["default_filter_chain"]];
    let fields = fields.map(|chain| chain["metadata"]["filter_metadata"]["istio"]["field"].clone());
    assert_eq!(fields, ["tcp[1].match[0]", "tcp[2]"]);
}

#[test]
fn a_headless_service_has_a_listener_for_each_address_but_ones_own() {
    let mesh = bookinfo();
    let own = names(&compiled(&mesh, "data", "queue-0"), ResourceType::Listener);
    assert!(own.contains(&"10.244.9.3_5672".to_owned()) && !own.contains(&"10.244.9.2_5672".to_owned()), "{own:?}");
}

#[test]
fn a_port_that_does_not_say_what_it_speaks_is_listened_to() {
    let listener = listener(&productpage(&bookinfo()), "10.96.0.9_7000");
    assert_eq!(filter(&listener["filter_chains"][0])["rds"]["route_config_name"], "legacy.shop.svc.cluster.local:7000");
    let opaque = &listener["default_filter_chain"];
    assert_eq!(filter(opaque)["cluster"], "outbound|7000||legacy.shop.svc.cluster.local");
    let state = &opaque["filters"][0]["typed_config"]["on_new_connection"][0];
    assert_eq!(state["object_key"], "envoy.network.application_protocols");
    assert_eq!(state["format_string"]["text_format_source"]["inline_string"], "istio-peer-exchange,istio");
    assert_eq!(inspectors(&listener), ["http_inspector"]);
}

#[test]
fn tls_to_hosts_without_an_address_is_told_by_its_server_name() {
    let mut mesh = bookinfo();
    mesh.external("shop", "*.example.org", Resolution::Passthrough, &["tls:443"]);
    // The same name once more, in a namespace that comes later: Envoy would refuse two chains for it.
    let mut routed = virtual_service("shop", "org", &[HostPattern::new("*.example.org")], Vec::new());
    let connection = TcpMatch::default();
    let names = vec![HostPattern::new("api.example.com"), HostPattern::new("a.example.org")];
    routed.tls = vec![TlsRoute {
        matches: vec![TlsMatch { sni_hosts: names, connection }],
        destinations: vec![to(&HostPattern::new("api.example.com"), None, 1)],
    }];
    mesh.virtual_services.push(routed);
    let listener = listener(&productpage(&mesh), "0.0.0.0_443");
    let chains: Vec<_> = listener["filter_chains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["filter_chain_match"]["server_names"], &filter(it)["cluster"]))
        .collect();
    assert_eq!(
        chains,
        [
            (&json!(["api.example.com", "a.example.org"]), &json!("outbound|443||api.example.com")),
            (&json!(["*.example.org"]), &json!("outbound|443||*.example.org")),
        ]
    );
    assert_eq!(inspectors(&listener), ["tls_inspector"]);
}

#[test]
fn a_service_that_waits_for_its_address_takes_nobody_elses_connections() {
    let mut mesh = bookinfo();
    mesh.service("shop", "new", Some("10.96.0.30"), &["tcp:6000"]).addresses.clear();
    assert!(productpage(&mesh).get(ResourceType::Listener, "0.0.0.0_6000").is_none());
}

#[test]
fn ranges_of_a_service_lead_to_it() {
    let mut mesh = bookinfo();
    mesh.external("shop", "lan.example.com", Resolution::Passthrough, &["tcp:6000"]).ranges = vec!["192.0.2.0/24".parse().unwrap()];
    let listener = listener(&productpage(&mesh), "0.0.0.0_6000");
    assert_eq!(listener["filter_chains"][0]["filter_chain_match"]["prefix_ranges"][0]["address_prefix"], "192.0.2.0");
    assert_eq!(filter(&listener["default_filter_chain"])["cluster"], "PassthroughCluster");
}

#[test]
fn ports_that_envoy_uses_itself_are_left_to_it() {
    let mut mesh = bookinfo();
    mesh.service("shop", "odd", Some("10.96.0.10"), &["http:15001", "http:15006"]);
    let compiled = productpage(&mesh);
    assert!(compiled.get(ResourceType::Listener, "0.0.0.0_15001").is_none());
    assert!(compiled.get(ResourceType::Route, "15006").is_none());
}

#[test]
fn what_an_application_says_about_its_certificate_stays_with_its_sidecar() {
    let listener = listener(&productpage(&bookinfo()), "0.0.0.0_9080");
    let manager = filter(&listener["filter_chains"][0]);
    assert_eq!(manager["forward_client_cert_details"], Value::Null, "SANITIZE is the default value");
}

#[test]
fn access_logs_are_written_as_the_settings_say() {
    let mut mesh = bookinfo();
    let log = |mesh: &TestMesh| {
        let listener = listener(&productpage(mesh), "0.0.0.0_9080");
        let log = filter(&listener["filter_chains"][0])["access_log"][0]["typed_config"].clone();
        assert_eq!(filter(&listener["default_filter_chain"])["access_log"][0]["typed_config"], log);
        log
    };
    assert_eq!(log(&mesh), Value::Null);
    mesh.config.access_log_file = "/dev/stdout".to_owned();
    let line = log(&mesh)["log_format"]["text_format_source"]["inline_string"].as_str().unwrap().to_owned();
    assert!(line.starts_with(r#"[%START_TIME%] "%REQ(:METHOD)% "#) && line.ends_with("%ROUTE_NAME%\n"), "{line}");
    mesh.config.access_log_format = "%RESPONSE_CODE%".to_owned();
    assert_eq!(log(&mesh)["log_format"]["text_format_source"]["inline_string"], "%RESPONSE_CODE%\n");
    mesh.config.access_log_encoding = crate::model::AccessLogEncoding::Json;
    mesh.config.access_log_format = r#"{"code": "%RESPONSE_CODE%"}"#.to_owned();
    assert_eq!(log(&mesh)["log_format"]["json_format"], json!({"code": "%RESPONSE_CODE%"}));
}

/// A host without address on a port, in namespace `shop`.
fn without_address(mesh: &mut TestMesh, host: &str, port: &str, created: i64) {
    mesh.external("shop", host, Resolution::Dns, &[port]).created = created;
}

#[test]
fn of_http_and_opaque_bytes_on_one_port_the_oldest_gets_all_that_comes_at_any_address() {
    let mut mesh = bookinfo();
    without_address(&mut mesh, "old.example.com", "tcp:9080", 0);
    let old = listener(&productpage(&mesh), "0.0.0.0_9080");
    assert_eq!(old["filter_chains"], Value::Null);
    assert_eq!(filter(&old["default_filter_chain"])["cluster"], "outbound|9080||old.example.com");

    let mut mesh = bookinfo();
    without_address(&mut mesh, "new.example.com", "tcp:9080", 2);
    let new = listener(&productpage(&mesh), "0.0.0.0_9080");
    assert_eq!(filter(&new["filter_chains"][0])["rds"]["route_config_name"], "9080");
    assert_eq!(filter(&new["default_filter_chain"])["cluster"], "PassthroughCluster");
    // TLS is told by its server name: both have theirs.
    without_address(&mut mesh, "tls.example.com", "tls:9080", 0);
    let both = listener(&productpage(&mesh), "0.0.0.0_9080");
    assert_eq!(both["filter_chains"].as_array().unwrap().len(), 2);
}

#[test]
fn of_hosts_without_address_on_one_port_the_oldest_gets_the_bytes() {
    let mut mesh = bookinfo();
    without_address(&mut mesh, "a.example.com", "tcp:6000", 2);
    without_address(&mut mesh, "b.example.com", "tcp:6000", 1);
    let listener = listener(&productpage(&mesh), "0.0.0.0_6000");
    assert_eq!(filter(&listener["default_filter_chain"])["cluster"], "outbound|6000||b.example.com");
}

#[test]
fn a_given_address_tells_hosts_apart_where_the_application_is_told_of_it() {
    let mut mesh = bookinfo();
    for (host, address) in [("a.example.com", "240.240.0.1"), ("b.example.com", "240.240.0.2")] {
        mesh.external("shop", host, Resolution::Dns, &["tcp:6000", "http:80", "main:6001"]).automatic_address =
            Some(address.parse().unwrap());
    }
    let mut proxy = proxy(&mesh, "shop", "productpage-v1");
    let untold = names(&compile(mesh.snapshot(), &proxy), ResourceType::Listener);
    assert!(untold.contains(&"0.0.0.0_6000".to_owned()) && !untold.contains(&"240.240.0.1_6000".to_owned()), "{untold:?}");
    proxy.captures_dns = true;
    let compiled = compile(mesh.snapshot(), &proxy);
    let told = names(&compiled, ResourceType::Listener);
    assert!(!told.contains(&"0.0.0.0_6000".to_owned()), "{told:?}");
    for (address, host) in [("240.240.0.1", "a.example.com"), ("240.240.0.2", "b.example.com")] {
        let opaque = listener(&compiled, &format!("{address}_6000"));
        assert_eq!(filter(&opaque["default_filter_chain"])["cluster"], format!("outbound|6000||{host}"));
        let sniffed = listener(&compiled, &format!("{address}_6001"));
        assert_eq!(filter(&sniffed["filter_chains"][0])["rds"]["route_config_name"], format!("{host}:6001"));
    }
    let table = json(&compiled, ResourceType::Route, "80");
    let hosts = table["virtual_hosts"].as_array().unwrap();
    let host = hosts.iter().find(|it| it["name"] == "a.example.com:80").unwrap();
    assert_eq!(host["domains"], json!(["a.example.com", "a.example.com:80", "240.240.0.1", "240.240.0.1:80"]));
}

#[test]
fn names_are_looked_up_on_the_ports_alone_where_hosts_want_it() {
    let mut mesh = bookinfo();
    mesh.external("shop", "*.names.example.com", Resolution::DynamicDns, &["http:80", "tls:443:8443"]);
    let compiled = productpage(&mesh);
    let filters = |name: &str| -> Vec<String> {
        let listener = listener(&compiled, name);
        let filters = filter(&listener["filter_chains"][0])["http_filters"].as_array().unwrap().clone();
        filters.iter().map(|it| it["name"].as_str().unwrap().rsplit('.').next().unwrap().to_owned()).collect()
    };
    assert_eq!(filters("0.0.0.0_80"), ["fault", "cors", "dynamic_forward_proxy", "router"]);
    assert_eq!(filters("0.0.0.0_9080"), ["fault", "cors", "router"]);
    let tls = listener(&compiled, "0.0.0.0_443");
    let chains = tls["filter_chains"].as_array().unwrap();
    let chain = chains.iter().find(|it| it["filter_chain_match"]["server_names"] == json!(["*.names.example.com"])).unwrap();
    let lookup = &chain["filters"][0]["typed_config"];
    assert_eq!((&lookup["port_value"], &lookup["dns_cache_config"]["name"]), (&json!(8443), &json!("dynamic_dns")));
    assert_eq!(lookup["dns_cache_config"]["dns_lookup_family"], "V4_ONLY");
    let cluster = json(&compiled, ResourceType::Cluster, "outbound|80||*.names.example.com");
    assert_eq!(
        (&cluster["cluster_type"]["name"], &cluster["lb_policy"]),
        (&json!("envoy.clusters.dynamic_forward_proxy"), &json!("CLUSTER_PROVIDED"))
    );
    assert_eq!(cluster["cluster_type"]["typed_config"]["dns_cache_config"], lookup["dns_cache_config"]);
}

#[test]
fn the_meshes_settings_say_how_paths_are_read_and_how_long_first_bytes_are_waited_for() {
    let mut mesh = bookinfo();
    let of = |mesh: &TestMesh| {
        let listener = listener(&productpage(mesh), "0.0.0.0_9080");
        let manager = filter(&listener["filter_chains"][0]).clone();
        [
            &listener["listener_filters_timeout"],
            &manager["normalize_path"],
            &manager["merge_slashes"],
            &manager["path_with_escaped_slashes_action"],
        ]
        .map(Clone::clone)
    };
    assert_eq!(of(&mesh), [json!("0s"), json!(true), Value::Null, Value::Null]);
    mesh.config.protocol_detection_timeout = "100ms".to_owned();
    mesh.config.path_normalization.normalization = NormalizationType::None;
    assert_eq!(of(&mesh), [json!("0.100s"), json!(false), Value::Null, Value::Null]);
    mesh.config.path_normalization.normalization = NormalizationType::MergeSlashes;
    assert_eq!(of(&mesh)[1..], [json!(true), json!(true), Value::Null]);
    mesh.config.path_normalization.normalization = NormalizationType::DecodeAndMergeSlashes;
    assert_eq!(of(&mesh)[1..], [json!(true), json!(true), json!("UNESCAPE_AND_FORWARD")]);
}
