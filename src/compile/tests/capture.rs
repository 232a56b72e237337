//! What a proxy and its agent are told because of how traffic comes to them: names, transparent interception, both address families.

use envoy_api::envoy::data::dns::v3::dns_table::{DnsVirtualDomain, dns_endpoint::EndpointConfig};
use std::collections::BTreeMap;

use super::{compiled, json, proxy};
use crate::compile::{Compiled, Compiler, Proxy, ResourceType, compile};
use crate::model::{Change, ExportTo, Health, Resolution, ServiceKey, Visibility, WorkloadKey};
use crate::testing::{
    bootstrap::{as_sent, decoded, names},
    envoy::validate,
    mesh::{TestMesh, bookinfo, fqdn},
};

fn asking(mesh: &TestMesh) -> Proxy {
    Proxy { captures_dns: true, ..proxy(mesh, "shop", "productpage-v1") }
}

/// Hosts with their addresses.
fn told(compiled: &Compiled) -> BTreeMap<String, Vec<String>> {
    let host = |domain: DnsVirtualDomain| {
        let Some(EndpointConfig::AddressList(list)) = domain.endpoint.unwrap().endpoint_config else { panic!("no addresses") };
        (domain.name, list.address)
    };
    compiled.resources(ResourceType::Name).into_iter().map(|resource| host(decoded(resource))).collect()
}

#[test]
fn an_agent_is_told_the_hosts_that_its_proxy_may_call_if_it_asks() {
    let mut mesh = bookinfo();
    mesh.external("shop", "api.example.com", Resolution::Dns, &["https:443"]).automatic_address = Some("240.240.0.1".parse().unwrap());
    mesh.external("shop", "*.wild.example.com", Resolution::Eds, &["https:443"]).addresses =
        vec!["10.1.1.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    // Nobody knows where it is, it is everything, and it is another namespace's own.
    mesh.external("shop", "none.example.com", Resolution::Passthrough, &["https:443"]);
    mesh.external("shop", "*", Resolution::Passthrough, &["https:443"]).addresses = vec!["10.1.1.2".parse().unwrap()];
    let private = mesh.external("bank", "private.example.com", Resolution::Eds, &["https:443"]);
    private.addresses = vec!["10.1.1.3".parse().unwrap()];
    private.export_to = ExportTo(vec![Visibility::Private]);
    assert!(compiled(&mesh, "shop", "productpage-v1").resources(ResourceType::Name).is_empty(), "nobody asked");
    let compiled = compile(mesh.snapshot(), &asking(&mesh));
    let told = told(&compiled);
    assert_eq!(told["api.example.com"], ["240.240.0.1"]);
    assert_eq!(told["*.wild.example.com"], ["10.1.1.1", "fd00::1"]);
    let reviews = fqdn("shop", "reviews");
    let service = mesh.services.get(&ServiceKey { host: reviews.clone(), namespace: "shop".into() }).unwrap();
    assert_eq!(told[reviews.as_str()], [service.addresses[0].to_string()]);
    for absent in ["none.example.com", "*", "private.example.com"] {
        assert!(!told.contains_key(absent), "{absent}");
    }
    let name = compiled.get(ResourceType::Name, "api.example.com").unwrap();
    assert_eq!(name.sources.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ServiceEntry shop/api.example.com"]);
}

#[test]
fn pods_of_a_headless_service_have_names_of_their_own() {
    let mut mesh = bookinfo();
    let key = ServiceKey { host: fqdn("data", "queue"), namespace: "data".into() };
    let [first, second] = ["queue-0", "queue-1"].map(|pod| format!("{pod}.{}", key.host.as_str()));
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = asking(&mesh);
    let before = compiler.compile(&proxy);
    assert_eq!((&told(&before)[&first][..], &told(&before)[&second][..]), (&["10.244.9.2".to_owned()][..], &["10.244.9.3".to_owned()][..]));
    assert!(told(&before).keys().all(|host| !host.starts_with("reviews-v1")), "only those of headless ones");

    // A pod that is not ready has none, as in Kubernetes.
    let mut endpoints = mesh.snapshot().endpoints.get(&key).unwrap().to_vec();
    endpoints.iter_mut().filter(|it| it.hostname.as_deref() == Some("queue-1")).for_each(|it| it.health = Health::Unhealthy);
    mesh.workloads.retain(|key, _| !key.name.starts_with("queue"));
    mesh.others.insert(key.clone(), endpoints);
    compiler.advance(mesh.snapshot(), &[Change::Endpoints(key.clone())].into());
    let after = told(&compiler.compile(&proxy));
    assert!(after.contains_key(&first) && !after.contains_key(&second));

    // Unless its Service publishes it all the same; and whoever declares such a host is heard.
    mesh.services.get_mut(&key).unwrap().publish_not_ready = true;
    mesh.external("data", &first, Resolution::Eds, &["tcp:5672"]).addresses = vec!["10.1.1.9".parse().unwrap()];
    let told = told(&compile(mesh.snapshot(), &asking(&mesh)));
    assert_eq!((&*told[&first][0], &*told[&second][0]), ("10.1.1.9", "10.244.9.3"));
}

#[test]
fn a_headless_service_has_the_addresses_of_its_pods() {
    let mut mesh = bookinfo();
    let queue = fqdn("data", "queue");
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = asking(&mesh);
    let before = compiler.compile(&proxy);
    assert_eq!(told(&before)[queue.as_str()], ["10.244.9.2", "10.244.9.3"]);

    // A pod that goes away makes its host anew and takes its own name with it, and touches no other.
    mesh.workloads.remove(&WorkloadKey::new("data", "queue-1"));
    compiler.advance(mesh.snapshot(), &[Change::Endpoints(ServiceKey { host: queue.clone(), namespace: "data".into() })].into());
    let after = compiler.compile(&proxy);
    assert_eq!(told(&after)[queue.as_str()], ["10.244.9.2"]);
    let differences = after.differences(Some(&before), ResourceType::Name);
    assert_eq!(differences.iter().map(|it| &*it.name).collect::<Vec<_>>(), [&*format!("queue-1.{}", queue.as_str()), queue.as_str()]);

    // Where there is none, the pod's own servers are asked.
    mesh.workloads.remove(&WorkloadKey::new("data", "queue-0"));
    assert!(!told(&compile(mesh.snapshot(), &proxy)).contains_key(queue.as_str()));
}

#[test]
fn a_transparent_proxy_speaks_to_its_application_in_its_callers_names() {
    let mesh = bookinfo();
    let mut proxy = proxy(&mesh, "shop", "productpage-v1");
    let plain = compile(mesh.snapshot(), &proxy);
    proxy.metadata.insert("INTERCEPTION_MODE".to_owned(), "TPROXY".to_owned());
    let transparent = compile(mesh.snapshot(), &proxy);
    let listener = |compiled: &Compiled| json(compiled, ResourceType::Listener, "virtualInbound");
    let (before, after) = (listener(&plain), listener(&transparent));
    assert_eq!((&before["transparent"], &after["transparent"]), (&serde_json::Value::Null, &serde_json::json!(true)));
    let filters = |listener: &serde_json::Value| -> Vec<String> {
        listener["listener_filters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(filters(&after)[..2], ["envoy.filters.listener.original_dst", "envoy.filters.listener.original_src"]);
    assert_eq!(after["listener_filters"][1]["typed_config"]["mark"], 1337);
    assert!(!filters(&before).contains(&"envoy.filters.listener.original_src".to_owned()));
    for name in names(&plain, ResourceType::Cluster).iter().filter(|name| name.starts_with("inbound|") || name.starts_with("Inbound")) {
        let source = |compiled: &Compiled| json(compiled, ResourceType::Cluster, name)["upstream_bind_config"].clone();
        assert_eq!(source(&plain)["source_address"]["address"], "127.0.0.6", "{name}");
        assert_eq!(source(&transparent), serde_json::Value::Null, "{name}");
    }
    validate(&as_sent(&transparent)).unwrap_or_else(|error| panic!("{error}"));
    // What the application calls is no matter of it.
    assert_eq!(transparent.differences(Some(&plain), ResourceType::Route), []);
}

#[test]
fn a_pod_with_an_address_of_either_family_is_reached_by_both() {
    let mesh = bookinfo();
    let mut proxy = proxy(&mesh, "shop", "productpage-v1");
    let also = |compiled: &Compiled, name: &str| json(compiled, ResourceType::Listener, name)["additional_addresses"].clone();
    let source = |compiled: &Compiled| json(compiled, ResourceType::Cluster, "InboundPassthroughCluster")["upstream_bind_config"].clone();
    let single = compile(mesh.snapshot(), &proxy);
    proxy.addresses.push("fd00::7".parse().unwrap());
    let dual = compile(mesh.snapshot(), &proxy);
    for (name, port) in [("virtualInbound", 15006), ("virtualOutbound", 15001), ("0.0.0.0_9080", 9080)] {
        assert_eq!(also(&single, name), serde_json::Value::Null, "{name}");
        assert_eq!(
            also(&dual, name),
            serde_json::json!([{"address": {"socket_address": {"address": "::", "port_value": port}}}]),
            "{name}"
        );
    }
    for compiled in [&dual, &compile(mesh.snapshot(), &Proxy { addresses: vec!["fd00::7".parse().unwrap()], ..proxy })] {
        validate(&as_sent(compiled)).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(source(&single)["extra_source_addresses"], serde_json::Value::Null);
    assert_eq!(source(&dual)["extra_source_addresses"][0]["address"]["address"], "::6");
}
