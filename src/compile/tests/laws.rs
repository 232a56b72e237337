//! What must hold for every mesh, every change and every proxy: what is kept and shared is what would be made from nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{
    Proxy, ResourceType, compile,
    hosts::that_differ,
    incremental::{Session, changes},
    proxy,
};
use crate::compile::{
    Compiled, Compiler,
    facts::{Fact, forgetting},
};
use crate::model::{
    Authorities, ClientTls, ClientTlsMode, Credential, Generator, HttpMatch, IngressEndpoint, IngressListener, Labels, ObjectRef,
    OutlierDetection, Protocol, ProxyRole, SecretKey, Sidecar, Snapshot, WorkloadKey,
};
use crate::testing::{
    TestCa,
    bootstrap::Static,
    envoy::validate,
    for_many,
    mesh::{TestMesh, bookinfo, forward, fqdn, labels, proxy_of, to, versions, virtual_service},
    objects::Choices,
    random_mesh::RandomMesh,
};

/// How long Envoy is asked about meshes, and how many it is asked about at least.
const ASKING: Duration = Duration::from_secs(12);
const LEAST_MESHES: u64 = 6;

/// The proxies of all workloads of a mesh, one for each service.
fn proxies_of(snapshot: &Snapshot) -> Vec<Proxy> {
    let mut workloads: Vec<_> = snapshot.workloads.values().filter(|workload| workload.key.name.ends_with("-v1")).collect();
    workloads.sort_by_key(|workload| &workload.key);
    let proxies = workloads.into_iter().enumerate().map(|(place, it)| {
        let generator = if place % 3 == 1 { Generator::Grpc } else { Generator::Envoy };
        Proxy { splits_tables: place % 2 == 0, generator, ..proxy_of(it) }
    });
    proxies.collect()
}

#[test]
fn after_any_changes_proxies_know_what_a_fresh_compiler_would_tell_them() {
    for_many(|choices| {
        let mut mesh = RandomMesh::new();
        let mut snapshot = mesh.snapshot();
        let mut compiler = Compiler::new(snapshot.clone());
        let mut sessions: Vec<Session> = proxies_of(&snapshot).into_iter().map(Session::new).collect();
        sessions.iter_mut().for_each(|it| it.ask(&mut compiler));
        for _ in 0..8 {
            mesh.change(choices);
            let next = mesh.snapshot();
            compiler.advance(next.clone(), &changes(&snapshot, &next));
            snapshot = next;
            // Who does not ask now skips this snapshot.
            for session in sessions.iter_mut().filter(|_| !choices.chance(60)) {
                session.ask(&mut compiler);
                session.check(&snapshot);
            }
        }
    });
}

fn random_proxy(choices: &mut Choices<'_>) -> Proxy {
    let mesh = bookinfo();
    let mut proxy = proxy(&mesh, "shop", "productpage-v1");
    let namespace = choices.pick(&["shop", "data", "istio-system"]);
    proxy.key = WorkloadKey::new(namespace, "any");
    proxy.role = choices.pick(&[ProxyRole::Sidecar, ProxyRole::Sidecar, ProxyRole::Router]);
    proxy.labels = labels(&[("app", choices.pick(&["reviews", "details", "v1"])), ("version", choices.pick(&["v1", "v2"]))]);
    proxy.addresses = vec![choices.pick(&["10.244.3.1", "10.244.0.1", "10.244.9.9"]).parse().unwrap()];
    proxy.node = choices.pick(&["node-a", "node-b"]).into();
    proxy.locality = choices.pick(&["us-west/a/b", "eu/zone-1", ""]).into();
    proxy.named_ports = vec![("web".into(), choices.pick(&[8080, 9080]))];
    proxy.generator = choices.pick(&[Generator::Envoy, Generator::Grpc]);
    proxy.splits_tables = choices.pick(&[true, false]);
    proxy
}

/// What differs between what proxies get from one compiler, which shares, and what each gets alone.
fn differing(snapshot: &Arc<Snapshot>, proxies: &[Proxy]) -> Option<String> {
    let mut shared = Compiler::new(snapshot.clone());
    let bytes = |compiled: &Compiled| -> BTreeMap<_, _> {
        let all = ResourceType::ALL.into_iter().flat_map(|kind| compiled.resources(kind));
        all.map(|it| ((it.kind, it.name.clone()), (it.body.clone(), it.sources.clone()))).collect()
    };
    proxies.iter().find_map(|proxy| {
        let (found, alone) = (bytes(&shared.compile(proxy)), bytes(&compile(snapshot.clone(), proxy)));
        let names = alone.keys().chain(found.keys()).find(|name| found.get(*name) != alone.get(*name))?;
        Some(format!("{names:?} of {proxy:?}"))
    })
}

#[test]
fn proxies_that_share_get_what_each_would_get_alone() {
    for_many(|choices| {
        let mut mesh = RandomMesh::new();
        (0..6).for_each(|_| mesh.change(choices));
        let proxies: Vec<Proxy> = (0..8).map(|_| random_proxy(choices)).collect();
        assert_eq!(differing(&mesh.snapshot(), &proxies), None);
    });
}

#[test]
fn a_table_with_the_hosts_that_are_sent_apart_from_it_is_the_one_that_is_sent_whole() {
    for_many(|choices| {
        let mut mesh = RandomMesh::new();
        (0..10).for_each(|_| mesh.change(choices));
        let snapshot = mesh.snapshot();
        for proxy in [random_proxy(choices), random_proxy(choices)].iter().chain(&proxies_of(&snapshot)) {
            assert_eq!(that_differ(&snapshot, proxy), None, "for {:?}", proxy.key);
        }
    });
}

/// A mesh in which every fact of a proxy makes a difference.
fn telling() -> TestMesh {
    let mut mesh = bookinfo();
    let condition = HttpMatch { source_labels: labels(&[("tier", "front")]), ..HttpMatch::default() };
    let rule = forward(vec![condition], vec![to(&fqdn("shop", "ratings"), None, 1)]);
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], vec![rule]));
    mesh.service("shop", "named", Some("10.96.0.20"), &["http:80:web"]).selector = labels(&[("app", "productpage")]);
    mesh.destination_rules[0].policy.outlier_detection = Some(OutlierDetection::default());
    mesh.workloads.values_mut().filter(|it| &*it.key.name == "reviews-v2").for_each(|it| it.locality = "region/other".into());
    let mut secured = versions("shop", &fqdn("shop", "details"), &[]);
    secured.origin.name = "secured".into();
    secured.workload_selector = Some(labels(&[("app", "legacy")]));
    secured.policy.tls = Some(ClientTls { mode: ClientTlsMode::Simple, credential_name: Some("roots".into()), ..ClientTls::default() });
    mesh.destination_rules.push(secured);
    let authorities = Some(Authorities { roots: Arc::new([1]), revoked: None });
    mesh.secrets.insert(SecretKey::new("shop", "roots"), Credential { authorities, ..Credential::default() });
    let opened = IngressListener {
        port: 8000,
        port_name: "web".into(),
        protocol: Some(Protocol::Http),
        bind: None,
        opened: Some(true),
        endpoint: IngressEndpoint::SamePort,
        tls: None,
        connection_pool: None,
    };
    mesh.sidecars.push(Sidecar {
        origin: ObjectRef::new("Sidecar", "shop", "opened"),
        selector: labels(&[("app", "legacy")]),
        ingress: vec![opened],
        inbound_connection_pool: None,
        egress: None,
        outbound_traffic: None,
        egress_proxy: None,
        created: 1,
    });
    mesh
}

#[test]
fn a_fact_that_is_read_and_not_noted_breaks_sharing() {
    let mesh = telling();
    let snapshot = mesh.snapshot();
    let page = proxy(&mesh, "shop", "productpage-v1");
    let legacy = proxy(&mesh, "shop", "legacy-0");
    let labelled = |base: &Proxy, name: &str, value: &str| {
        let mut labels: Labels = base.labels.clone();
        labels.insert(name.to_owned(), value.to_owned());
        Proxy { labels, ..base.clone() }
    };
    let at = |base: &Proxy, address: &str| Proxy { addresses: vec![address.parse().unwrap()], ..base.clone() };
    let db_in = |namespace: &str| labelled(&Proxy { key: WorkloadKey::new(namespace, "any"), ..page.clone() }, "app", "db");
    let in_data = Proxy { key: WorkloadKey::new("data", "any"), ..page.clone() };
    let on_port = Proxy { named_ports: vec![("web".into(), 8088)], ..page.clone() };
    let mut dual = page.clone();
    dual.addresses.push("fd00::7".parse().unwrap());
    let mut transparent = page.clone();
    transparent.metadata.insert("INTERCEPTION_MODE".to_owned(), "TPROXY".to_owned());
    // For each fact two proxies that differ in it.
    type Pair = (fn(&Fact) -> bool, Proxy, Proxy);
    let pairs: [Pair; 14] = [
        (|fact| matches!(fact, Fact::HasLabel(..)), page.clone(), labelled(&page, "tier", "front")),
        (|fact| matches!(fact, Fact::Label(_)), page.clone(), labelled(&page, "app", "ratings")),
        (|fact| matches!(fact, Fact::InNamespace(_)), page.clone(), in_data),
        (|fact| matches!(fact, Fact::Namespace), db_in("data"), db_in("elsewhere")),
        (|fact| matches!(fact, Fact::HasAddress(_)), page.clone(), at(&page, "10.244.9.2")),
        (|fact| matches!(fact, Fact::Address), legacy.clone(), at(&legacy, "10.244.8.2")),
        (|fact| matches!(fact, Fact::NamedPort(_)), page.clone(), on_port),
        (|fact| matches!(fact, Fact::Locality), page.clone(), Proxy { locality: "region/other".into(), ..page.clone() }),
        (|fact| matches!(fact, Fact::Vouched), legacy.clone(), Proxy { vouched: false, ..legacy.clone() }),
        (|fact| matches!(fact, Fact::SplitsTables), page.clone(), Proxy { splits_tables: true, ..page.clone() }),
        (|fact| matches!(fact, Fact::CapturesDns), page.clone(), Proxy { captures_dns: true, ..page.clone() }),
        (|fact| matches!(fact, Fact::HasIpv6), page.clone(), dual),
        (|fact| matches!(fact, Fact::Transparent), page.clone(), transparent),
        (|fact| matches!(fact, Fact::Role), page.clone(), Proxy { role: ProxyRole::Router, ..page.clone() }),
    ];
    for (place, (forgotten, one, other)) in pairs.into_iter().enumerate() {
        let proxies = [one, other];
        assert_eq!(differing(&snapshot, &proxies), None);
        let _switch = forgetting(forgotten);
        assert!(differing(&snapshot, &proxies).is_some(), "fact {place} makes no difference");
    }
}

#[test]
fn envoy_takes_whatever_is_made_of_random_meshes() {
    let started = Instant::now();
    let (ca, key) = (TestCa::new("root"), KeyPair::generate().unwrap());
    let files =
        [("certificate_chain", ca.sign(&key, &[], &["a.example"]).pem()), ("private_key", key.serialize_pem()), ("trusted_ca", ca.pem())];
    for seed in 0.. {
        if seed >= LEAST_MESHES && started.elapsed() > ASKING {
            break;
        }
        let bytes = random_bytes(seed);
        let mut choices = Choices::new(&bytes);
        let mut mesh = RandomMesh::new();
        (0..14).for_each(|_| mesh.change(&mut choices));
        mesh.without_users_own_code();
        let snapshot = mesh.snapshot();
        let mut proxies = proxies_of(&snapshot);
        proxies.retain(|proxy| proxy.generator == Generator::Envoy);
        let proxy = &proxies[usize::try_from(seed).unwrap() % proxies.len()];
        let mut bootstrap = Static::of(&compile(snapshot, proxy)).bootstrap();
        fill_files(&mut bootstrap, &files);
        validate(&bootstrap).unwrap_or_else(|error| panic!("mesh {seed}, {:?}: {error}\n{mesh:#?}", proxy.key));
    }
}

/// Puts contents in the place of files that objects name, and that are on no disk.
fn fill_files(value: &mut Value, files: &[(&str, String)]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, it| name != "crl" || it["filename"].is_null());
            for (name, it) in fields {
                match files.iter().find(|(file, _)| file == name) {
                    Some((_, content)) if it["filename"].is_string() => *it = json!({"inline_string": content}),
                    _ => fill_files(it, files),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|it| fill_files(it, files)),
        _ => {}
    }
}

/// The same bytes for the same seed, by xorshift.
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..8000).map(|_| next()).collect()
}
