//! Clusters as the mesh's settings have them, and which endpoints rules prefer or leave out.

use serde_json::json;

use super::{
    clusters::{REVIEWS, cluster_json, rule},
    compiled, json,
};
use crate::compile::ResourceType;
use crate::model::{LoadBalancing, LocalityBalancing, OutlierDetection, TrafficPolicy, WorkloadKey, ZoneAwareBalancing};
use crate::testing::mesh::{TestMesh, bookinfo};

#[test]
fn what_rules_leave_open_is_as_the_meshes_settings_say() {
    let mut mesh = bookinfo();
    mesh.config = serde_json::from_value(json!({
        "connectTimeout": "3s",
        "tcpKeepalive": {"probes": 3, "time": "10s", "interval": "5s"},
        "dnsRefreshRate": "7s",
        "h2UpgradePolicy": "UPGRADE",
        "localityLbSetting": {"distribute": [{"from": "region/*", "to": {"region/zone/*": 80, "other/*": 20}}]},
    }))
    .unwrap();
    let found = compiled(&mesh, "shop", "productpage-v1");
    let reviews = cluster_json(&found, REVIEWS);
    assert_eq!(reviews["connect_timeout"], "3s");
    let keepalive = json!({"keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 5});
    assert_eq!(reviews["upstream_connection_options"]["tcp_keepalive"], keepalive);
    assert_eq!(reviews["common_lb_config"]["locality_weighted_lb_config"], json!({}));
    let options = &reviews["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert!(options["explicit_http_config"]["http2_protocol_options"].is_object(), "{options}");
    // What nobody declared as HTTP is left as it comes.
    let legacy = cluster_json(&found, "outbound|7000||legacy.shop.svc.cluster.local");
    let options = &legacy["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert!(options["use_downstream_protocol_config"].is_object(), "{options}");
    assert_eq!(cluster_json(&found, "outbound|80||api.example.com")["cluster_type"]["typed_config"]["dns_refresh_rate"], "7s");

    // A rule's own setting takes the place of the mesh's.
    let balancing = LoadBalancing {
        locality: Some(LocalityBalancing { enabled: Some(false), ..LocalityBalancing::default() }),
        ..LoadBalancing::default()
    };
    mesh.destination_rules = vec![rule(TrafficPolicy { load_balancer: Some(balancing), ..TrafficPolicy::default() })];
    let found = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(cluster_json(&found, REVIEWS)["common_lb_config"].get("locality_weighted_lb_config"), None);
}

#[test]
fn the_mesh_can_leave_localities_alone_where_endpoints_fail() {
    let mut mesh = bookinfo();
    mesh.destination_rules = vec![rule(TrafficPolicy { outlier_detection: Some(OutlierDetection::default()), ..TrafficPolicy::default() })];
    let weighted = |mesh: &TestMesh| {
        cluster_json(&compiled(mesh, "shop", "productpage-v1"), REVIEWS)["common_lb_config"].get("locality_weighted_lb_config").is_some()
    };
    assert!(weighted(&mesh));
    mesh.config.locality_lb_setting.enabled = Some(false);
    assert!(!weighted(&mesh));
}

#[test]
fn zones_are_left_to_envoy_within_the_clients_region() {
    let mut mesh = bookinfo();
    for (pod, locality) in [("reviews-v1", "region/zone"), ("reviews-v2", "region/other"), ("reviews-v3", "far/zone")] {
        mesh.workloads.get_mut(&WorkloadKey::new("shop", pod)).unwrap().locality = locality.into();
    }
    let zone_aware = |enabled| ZoneAwareBalancing { enabled, min_cluster_size: Some(2), ..ZoneAwareBalancing::default() };
    let of = |mesh: &mut TestMesh, enabled| {
        let balancing = LoadBalancing { zone_aware: Some(zone_aware(enabled)), ..LoadBalancing::default() };
        mesh.destination_rules = vec![rule(TrafficPolicy { load_balancer: Some(balancing), ..TrafficPolicy::default() })];
        let found = compiled(mesh, "shop", "productpage-v1");
        let groups = json(&found, ResourceType::Endpoints, REVIEWS)["endpoints"].as_array().unwrap().clone();
        let groups: Vec<_> = groups
            .iter()
            .map(|it| (it["locality"]["region"].as_str().unwrap().to_owned(), it["priority"].as_u64().unwrap_or_default()))
            .collect();
        (cluster_json(&found, REVIEWS)["common_lb_config"]["zone_aware_lb_config"].clone(), groups)
    };
    let (config, groups) = of(&mut mesh, None);
    assert_eq!(config, json!({"routing_enabled": {"value": 100.0}, "min_cluster_size": "2"}));
    assert_eq!(groups, [("region".to_owned(), 0), ("region".to_owned(), 0), ("far".to_owned(), 1)]);
    let (config, groups) = of(&mut mesh, Some(false));
    assert_eq!(config["routing_enabled"], json!({}));
    assert!(groups.iter().all(|(_, priority)| *priority == 0), "{groups:?}");
}

#[test]
fn status_codes_that_count_as_errors_stand_beside_5xx() {
    let mut mesh = bookinfo();
    let of = |mesh: &mut TestMesh, codes: &[u16]| {
        let outlier = OutlierDetection { error_codes: codes.to_vec(), ..OutlierDetection::default() };
        mesh.destination_rules = vec![rule(TrafficPolicy { outlier_detection: Some(outlier), ..TrafficPolicy::default() })];
        let cluster = cluster_json(&compiled(mesh, "shop", "productpage-v1"), REVIEWS);
        let options = &cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        let rules = options["outlier_detection"]["error_matcher"]["or_match"]["rules"].as_array().cloned().unwrap_or_default();
        rules.iter().map(|it| it["http_response_headers_match"]["headers"][0]["string_match"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&mut mesh, &[404, 503]), [json!({"safe_regex": {"regex": "5.."}}), json!({"exact": "404"})]);
    assert!(of(&mut mesh, &[503]).is_empty(), "Envoy counts these by itself");
}
