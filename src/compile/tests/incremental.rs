//! Advancing from snapshot to snapshot gives what compiling the last one from nothing gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    sync::Arc,
};

use proptest::prelude::*;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde_json::json;

use super::{Proxy, ResourceType, proxy};
use crate::compile::{Compiled, Compiler, Resource, compile};
use crate::model::{
    Authorities, CertifiedKey, Change, Changes, ClientTls, ClientTlsMode, ClusterMatch, ConfigObject, ConsistentHash, Credential,
    EgressListener, EnvoyFilter, ExportTo, ExtensionCode, ExtensionPhase, ExtensionPlacement, GatewayServer, HashKey, HashTable,
    HostPattern, HostSelector, HttpAction, HttpMatch, HttpRoute, LoadBalancer, MtlsMode, NamespaceSelector, ObjectMatch, ObjectRef,
    OutboundTrafficMode, OutlierDetection, PatchContext, PatchOperation, PatchedObject, PolicyTarget, Protocol, Resolution, SecretKey,
    ServerCertificate, ServerTls, ServerTlsMode, ServiceKey, Sidecar, Snapshot, TrafficExtension, Visibility, WorkloadKey,
};
use crate::testing::mesh::{
    TestMesh, bookinfo, envoy_filter, forward, fqdn, http_gateway, labels, patch, peer_authentication, port, to, versions, virtual_service,
};

/// Services that changes are about.
const NAMES: [&str; 4] = ["reviews", "details", "ratings", "legacy"];
/// Proxies for which everything is compiled.
const PROXIES: [(&str, &str); 5] =
    [("shop", "productpage-v1"), ("shop", "reviews-v2"), ("data", "db-0"), ("data", "queue-0"), ("istio-system", "gateway-0")];

/// One step of a user, by numbers so that a failing history can be made smaller.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    which: usize,
    how: u8,
    /// Who asks for configuration afterwards; the others skip this snapshot.
    asking: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..19_u8, 0..NAMES.len(), any::<u8>(), any::<u8>());
    prop::collection::vec(step.prop_map(|(what, which, how, asking)| Step { what, which, how, asking }), 1..20)
}

/// Adds the object, or removes it if one of its name is there.
fn toggle<T>(objects: &mut Vec<T>, object: T, origin: impl Fn(&T) -> &ObjectRef) {
    let before = objects.len();
    objects.retain(|it| origin(it) != origin(&object));
    if objects.len() == before {
        objects.push(object);
    }
}

fn apply(mesh: &mut TestMesh, step: Step) {
    let name = NAMES[step.which];
    let host = fqdn("shop", name);
    let other = fqdn("shop", NAMES[(step.which + 1) % NAMES.len()]);
    match step.what {
        0 => match mesh.services.iter().find(|(key, _)| key.host == host).map(|(key, _)| key.clone()) {
            Some(key) => _ = mesh.services.remove(&key),
            None => _ = mesh.service("shop", name, Some("10.96.0.50"), &["http:9080"]),
        },
        1 => mesh.services.values_mut().filter(|it| it.key.host == host).for_each(|it| {
            let ports = ["http:9080", "tcp:9080", "main:9080", "grpc:9090", "tls:443"];
            it.ports = vec![port(ports[usize::from(step.how) % ports.len()])];
        }),
        2 => {
            let pod = format!("{name}-extra");
            let key = WorkloadKey::new("shop", &pod);
            if mesh.workloads.remove(&key).is_none() {
                let workload = mesh.workload("shop", &pod, &format!("10.244.20.{}", step.which), &[("app", name), ("version", "v2")]);
                if step.how.is_multiple_of(2) {
                    workload.labels.remove("security.istio.io/tlsMode");
                }
                if step.how.is_multiple_of(3) {
                    workload.identity.service_account = "another".into();
                }
            }
        }
        3 => {
            let condition = HttpMatch { source_labels: labels(&[("app", "productpage")]), ..HttpMatch::default() };
            let conditions = if step.how.is_multiple_of(2) { vec![condition] } else { Vec::new() };
            let rule = forward(conditions, vec![to(&host, Some("v1"), 1), to(&other, None, u32::from(step.how))]);
            let handing = HttpAction::Delegate { namespace: "data".into(), name: "parts".into() };
            let handing = HttpRoute { action: handing, ..forward(Vec::new(), Vec::new()) };
            let rules = if step.how.is_multiple_of(3) { vec![handing, rule] } else { vec![rule] };
            let mut object = virtual_service("shop", &format!("vs-{name}"), &[host], rules);
            if step.how.is_multiple_of(4) {
                object.hosts.push(HostPattern::new("*.extra.example.com"));
            }
            object.created = i64::from(step.how);
            if step.how.is_multiple_of(5) {
                object.gateways = vec!["shop/bookinfo-gateway".into(), "mesh".into()];
            }
            toggle(&mut mesh.virtual_services, object, |it| &it.origin);
        }
        4 => {
            let mut rule = versions(if step.how.is_multiple_of(2) { "shop" } else { "data" }, &host, &["v1", "v2"]);
            let hash = ConsistentHash { key: Some(HashKey::Header("x-user".into())), table: HashTable::Ring { minimum_size: None } };
            let balancers = [None, Some(LoadBalancer::Passthrough), Some(LoadBalancer::ConsistentHash(hash))];
            rule.policy.load_balancer = balancers[usize::from(step.how) % balancers.len()].clone().map(Into::into);
            rule.policy.outlier_detection = step.how.is_multiple_of(5).then(OutlierDetection::default);
            rule.workload_selector = step.how.is_multiple_of(7).then(|| labels(&[("app", "productpage")]));
            rule.created = i64::from(step.how);
            toggle(&mut mesh.destination_rules, rule, |it| &it.origin);
        }
        5 => {
            let namespace = ["shop", "data", "istio-system"][step.which % 3];
            let mode = [MtlsMode::Strict, MtlsMode::Disable][usize::from(step.how) % 2];
            let selector: &[_] = if step.how.is_multiple_of(3) { &[("app", "reviews")] } else { &[] };
            toggle(&mut mesh.peer_authentications, peer_authentication(namespace, selector, mode), |it| &it.origin);
        }
        6 => {
            let gateway = http_gateway("shop", name, &[("istio", "ingressgateway")], 80 + u16::from(step.how % 2) * 9000);
            toggle(&mut mesh.gateways, gateway, |it| &it.origin);
        }
        7 => {
            let seen = HostSelector { namespace: Some("shop".into()), host: HostPattern::new("*") };
            let sidecar = Sidecar {
                origin: ObjectRef::new("Sidecar", ["shop", "data"][step.which % 2], name),
                selector: if step.how.is_multiple_of(2) { labels(&[("app", "reviews")]) } else { labels(&[]) },
                ingress: Vec::new(),
                inbound_connection_pool: None,
                egress: Some(vec![EgressListener { hosts: vec![seen], ..EgressListener::default() }]),
                outbound_traffic: step.how.is_multiple_of(3).then_some(OutboundTrafficMode::RegistryOnly),
                egress_proxy: None,
                created: i64::from(step.how),
            };
            toggle(&mut mesh.sidecars, sidecar, |it| &it.origin);
        }
        8 => mesh.config.enable_auto_mtls = step.how.is_multiple_of(2),
        9 => {
            let condition = HttpMatch { source_labels: labels(&[("app", "productpage")]), ..HttpMatch::default() };
            let conditions = if step.how.is_multiple_of(2) { vec![condition] } else { Vec::new() };
            let mut delegate = virtual_service("data", "parts", &[], vec![forward(conditions, vec![to(&other, None, 1)])]);
            if step.how.is_multiple_of(3) {
                delegate.export_to = ExportTo(vec![Visibility::Private]);
            }
            toggle(&mut mesh.virtual_services, delegate, |it| &it.origin);
        }
        10 => mesh.services.values_mut().filter(|it| it.key.host == host).for_each(|it| {
            it.export_to = ExportTo(if step.how.is_multiple_of(2) { vec![Visibility::Private] } else { Vec::new() });
        }),
        11 => mesh.workloads.values_mut().filter(|it| it.key.name.starts_with(name)).for_each(|it| {
            it.locality = ["region/zone", "region/other", "far/zone"][usize::from(step.how) % 3].into();
        }),
        12 => toggle(&mut mesh.objects, change_of_envoy(step).into(), ConfigObject::origin),
        13 => {
            let target = if step.how.is_multiple_of(2) { labels(&[("app", "productpage")]) } else { labels(&[]) };
            let extension = TrafficExtension {
                origin: ObjectRef::new("TrafficExtension", ["shop", "istio-system"][step.which % 2], name),
                placement: ExtensionPlacement {
                    target: PolicyTarget::Workloads(target),
                    phase: ExtensionPhase::default(),
                    priority: 0,
                    traffic: Vec::new(),
                },
                code: ExtensionCode::Lua("".into()),
                created: i64::from(step.how),
            };
            toggle(&mut mesh.objects, extension.into(), ConfigObject::origin);
        }
        14 => {
            let key = ServiceKey { host: HostPattern::new("*.names.example.com"), namespace: "shop".into() };
            if mesh.services.remove(&key).is_none() {
                mesh.external("shop", key.host.as_str(), Resolution::DynamicDns, &["http:9080", "tls:443"]);
            }
        }
        15 => {
            let default = if step.how.is_multiple_of(3) { vec![Visibility::Private] } else { Vec::new() };
            mesh.config.default_service_export_to = ExportTo(default);
            mesh.config.locality_lb_setting.enabled = Some(step.how.is_multiple_of(2));
            let given = step.how.is_multiple_of(5).then(|| "240.240.0.1".parse().unwrap());
            mesh.services.values_mut().filter(|it| it.key.host == host).for_each(|it| it.automatic_address = given);
        }
        16 => {
            let mut gateway = http_gateway("shop", &format!("tls-{name}"), &[("istio", "ingressgateway")], 80);
            let modes = [ServerTlsMode::Simple, ServerTlsMode::Mutual, ServerTlsMode::Passthrough, ServerTlsMode::AutoPassthrough];
            gateway.servers = vec![tls_server(name, modes[usize::from(step.how) % modes.len()], &other)];
            gateway.created = i64::from(step.how);
            toggle(&mut mesh.gateways, gateway, |it| &it.origin);
        }
        17 => {
            let namespace = if step.how.is_multiple_of(3) { "shop" } else { "istio-system" };
            let key = SecretKey::new(namespace, name);
            match mesh.secrets.remove(&key) {
                Some(_) if step.how.is_multiple_of(2) => {}
                _ => _ = mesh.secrets.insert(key, credential(step.how)),
            }
            let mut rule = versions("shop", &host, &[]);
            let tls = ClientTls { mode: ClientTlsMode::Simple, credential_name: Some(name.into()), ..ClientTls::default() };
            rule.origin.name = format!("tls-{name}").into();
            rule.policy.tls = Some(tls);
            rule.workload_selector = step.how.is_multiple_of(7).then(|| labels(&[("app", "productpage")]));
            toggle(&mut mesh.destination_rules, rule, |it| &it.origin);
        }
        _ => mesh.services.values_mut().filter(|it| it.key.host == host).for_each(|it| {
            it.addresses = if step.how.is_multiple_of(2) { Vec::new() } else { vec!["10.96.0.77".parse().unwrap()] };
        }),
    }
}

/// An EnvoyFilter: one that changes what is there, one that adds a cluster under a name that others add too or the mesh has, one that
/// can't be applied.
fn change_of_envoy(step: Step) -> EnvoyFilter {
    let namespace = ["shop", "data", "istio-system"][step.which % 3];
    let own = "outbound|9080||reviews.shop.svc.cluster.local";
    let name = [own, "added"][usize::from(step.how) % 2];
    let cluster =
        PatchOperation::Add(Arc::new(json!({"name": name, "connect_timeout": format!("{}s", step.which + 1)})), Default::default());
    let said = json!({"response_headers_to_add": [{"header": {"key": "x-a", "value": "b"}}]});
    let operations = [
        (PatchedObject::Cluster, PatchOperation::Merge(Arc::new(json!({"connect_timeout": "7s"})))),
        (PatchedObject::Cluster, cluster),
        (PatchedObject::VirtualHost, PatchOperation::Merge(Arc::new(said))),
        (PatchedObject::Listener, PatchOperation::Merge(Arc::new(json!({"no_such_field": 1})))),
        (PatchedObject::Cluster, PatchOperation::Remove),
    ];
    let (apply_to, operation) = operations[usize::from(step.how) % operations.len()].clone();
    let mut change = patch(0, apply_to, PatchContext::Any, operation);
    if change.operation == PatchOperation::Remove {
        change.object = ObjectMatch::Cluster(ClusterMatch { name: Some(own.into()), ..ClusterMatch::default() });
    }
    let selector: &[_] = if step.how.is_multiple_of(3) { &[("app", "productpage")] } else { &[] };
    envoy_filter(namespace, NAMES[step.which], selector, vec![change])
}

fn tls_server(name: &str, mode: ServerTlsMode, host: &HostPattern) -> GatewayServer {
    GatewayServer {
        port: 9443,
        port_name: name.into(),
        protocol: Protocol::Https,
        hosts: vec![(NamespaceSelector::Any, host.clone())],
        tls: Some(ServerTls { mode, certificates: vec![ServerCertificate::Secret(name.into())], ..ServerTls::default() }),
        name: "".into(),
        bind: None,
        default_endpoint: None,
    }
}

fn credential(how: u8) -> Credential {
    let bytes: Arc<[u8]> = [how].into();
    let certificate = CertifiedKey { chain: bytes.clone(), key: bytes.clone(), ocsp_staple: None };
    Credential { certificate: Some(certificate), authorities: Some(Authorities { roots: bytes, revoked: None }), ..Credential::default() }
}

/// What differs between two snapshots, exactly.
pub(super) fn changes(old: &Snapshot, new: &Snapshot) -> Changes {
    let mut changes: Changes = BTreeSet::new();
    changes.extend(ordered(&old.services, &new.services).into_iter().map(Change::Service));
    changes.extend(hashed(&old.endpoints, &new.endpoints).into_iter().map(Change::Endpoints));
    changes.extend(hashed(&old.workloads, &new.workloads).into_iter().map(Change::Workload));
    let objects: BTreeSet<_> = old.config.keys().chain(new.config.keys()).cloned().collect();
    changes.extend(objects.into_iter().filter(|it| old.config.get(it) != new.config.get(it)).map(Change::Config));
    changes.extend(hashed(&old.secrets, &new.secrets).into_iter().map(Change::Secret));
    changes.extend((old.mesh != new.mesh).then_some(Change::Mesh));
    changes
}

fn ordered<K: Ord + Clone, V: PartialEq>(old: &RedBlackTreeMapSync<K, V>, new: &RedBlackTreeMapSync<K, V>) -> BTreeSet<K> {
    old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

fn hashed<K: Ord + Hash + Clone, V: PartialEq>(old: &HashTrieMapSync<K, V>, new: &HashTrieMapSync<K, V>) -> BTreeSet<K> {
    old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

/// One proxy's session: what it was told so far, and what it was told last.
pub(super) struct Session {
    proxy: Proxy,
    known: BTreeMap<(ResourceType, Arc<str>), Arc<Resource>>,
    last: Option<Compiled>,
}

// === impl Session ===

impl Session {
    pub(super) fn new(proxy: Proxy) -> Self {
        Self { proxy, known: BTreeMap::new(), last: None }
    }

    /// Asks, and takes in what differs from what it was told. Nothing is told twice.
    pub(super) fn ask(&mut self, compiler: &mut Compiler) {
        let new = match &self.last {
            Some(last) => compiler.compile_again(&self.proxy, last),
            None => compiler.compile(&self.proxy),
        };
        for kind in ResourceType::ALL {
            for difference in new.differences(self.last.as_ref(), kind) {
                match difference.resource {
                    Some(resource) => {
                        let before = self.known.insert((kind, difference.name), resource.clone());
                        assert_ne!(before.as_ref(), Some(&resource), "told what it knew, {:?}", self.proxy.key);
                    }
                    None => assert!(self.known.remove(&(kind, difference.name)).is_some(), "told of the end of what it never knew"),
                }
            }
        }
        self.last = Some(new);
    }

    /// Checks that what it was told adds up to what compiling from nothing gives.
    pub(super) fn check(&self, snapshot: &Arc<Snapshot>) {
        let fresh = compile(snapshot.clone(), &self.proxy);
        let expected: BTreeMap<_, _> = ResourceType::ALL
            .into_iter()
            .flat_map(|kind| fresh.resources(kind).into_iter().map(move |it| ((kind, it.name.clone()), it.clone())))
            .collect();
        for (key, resource) in &expected {
            assert_eq!(self.known.get(key), Some(resource), "{key:?} for {:?}", self.proxy.key);
        }
        assert_eq!(self.last.as_ref().map(Compiled::faults), Some(fresh.faults()), "for {:?}", self.proxy.key);
        let surplus: Vec<_> = self.known.keys().filter(|key| !expected.contains_key(*key)).collect();
        assert_eq!(surplus, Vec::<&(ResourceType, Arc<str>)>::new(), "for {:?}", self.proxy.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_of_changes_leads_where_its_end_alone_leads(steps in steps()) {
        let mut mesh = bookinfo();
        let mut snapshot = mesh.snapshot();
        let mut compiler = Compiler::new(snapshot.clone());
        let mut sessions = PROXIES.map(|(namespace, name)| {
            Session::new(Proxy { captures_dns: name == "db-0", splits_tables: name != "db-0", ..proxy(&mesh, namespace, name) })
        });
        sessions.iter_mut().for_each(|it| it.ask(&mut compiler));
        for step in steps {
            apply(&mut mesh, step);
            let next = mesh.snapshot();
            compiler.advance(next.clone(), &changes(&snapshot, &next));
            snapshot = next;
            for (place, session) in sessions.iter_mut().enumerate() {
                if step.asking >> place & 1 == 1 {
                    session.ask(&mut compiler);
                    session.check(&snapshot);
                }
            }
        }
        for session in &mut sessions {
            session.ask(&mut compiler);
            session.check(&snapshot);
        }
    }
}
