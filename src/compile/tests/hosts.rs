//! Virtual hosts that stand by themselves: what a change costs, and what users' patches make of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use envoy_api::envoy::config::route::v3::{RouteConfiguration, VirtualHost, route};
use serde_json::{Value, json};

use super::{Compiled, Proxy, ResourceType, compile, decoded, names, proxy};
use crate::compile::{Compiler, WholeTable, section::SectionKind};
use crate::model::{
    Bind, Change, EgressListener, ExportTo, FilterClass, HostPattern, HostSelector, ObjectMatch, ObjectRef, OutboundTrafficMode,
    PatchContext, PatchOperation, PatchedObject, RouteConfigurationMatch, Sidecar, Snapshot, StringMatch, Visibility,
};
use crate::testing::mesh::{TestMesh, bookinfo, envoy_filter, forward, fqdn, labels, patch, path, to, virtual_service};

const REVIEWS: &str = "9080/reviews.shop.svc.cluster.local:9080";
const DETAILS: &str = "9080/details.shop.svc.cluster.local:9080";

/// The sidecar of a workload, with virtual hosts apart from their tables.
fn splitting(mesh: &TestMesh, namespace: &str, name: &str) -> Proxy {
    Proxy { splits_tables: true, ..proxy(mesh, namespace, name) }
}

fn page(mesh: &TestMesh) -> Compiled {
    compile(mesh.snapshot(), &splitting(mesh, "shop", "productpage-v1"))
}

fn table(compiled: &Compiled, name: &str) -> RouteConfiguration {
    decoded(compiled, ResourceType::Route, name)
}

fn host(compiled: &Compiled, name: &str) -> VirtualHost {
    decoded(compiled, ResourceType::VirtualHost, name)
}

/// A compiler with what it has compiled for a proxy.
struct Session {
    compiler: Compiler,
    proxy: Proxy,
    last: Compiled,
    /// Whether the last change was a reason to look at all hosts.
    listed_anew: bool,
}

impl Session {
    fn new(mesh: &TestMesh) -> Self {
        let (mut compiler, proxy) = (Compiler::new(mesh.snapshot()), splitting(mesh, "shop", "productpage-v1"));
        let last = compiler.compile(&proxy);
        Self { compiler, proxy, last, listed_anew: false }
    }

    /// What is to be sent after a change, and how many resources had to be made for it.
    fn change(&mut self, mesh: &TestMesh, change: Change) -> (BTreeSet<String>, usize) {
        self.compiler.advance(mesh.snapshot(), &[change].into());
        let hosts = self.compiler.sections.get_mut(&SectionKind::OutboundHosts).unwrap();
        self.listed_anew = hosts.iter_mut().any(|state| state.is_listed_anew());
        let before = self.compiler.kept().0;
        let new = self.compiler.compile(&self.proxy);
        let made = self.compiler.kept().0 - before;
        let differences = ResourceType::ALL.into_iter().flat_map(|kind| new.differences(Some(&self.last), kind));
        let names = differences.map(|it| format!("{}{}", if it.resource.is_some() { '+' } else { '-' }, it.name)).collect();
        self.last = new;
        (names, made)
    }
}

fn told(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_table_has_the_host_for_everything_else_alone_and_the_others_stand_beside_it() {
    let mesh = bookinfo();
    let compiled = page(&mesh);
    let table = table(&compiled, "9080");
    assert_eq!(table.virtual_hosts.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["allow_any"]);
    assert!(table.vhds.is_some());
    let reviews = host(&compiled, REVIEWS);
    // Envoy removes hosts by their own names, so these are the resources'.
    assert_eq!(reviews.name, REVIEWS);
    assert!(reviews.domains.contains(&"reviews".to_owned()) && reviews.domains.contains(&"reviews.shop:9080".to_owned()));
    assert!(names(&compiled, ResourceType::VirtualHost).contains(&DETAILS.to_owned()));

    let whole = compile(mesh.snapshot(), &proxy(&mesh, "shop", "productpage-v1"));
    assert_eq!(names(&whole, ResourceType::VirtualHost), Vec::<String>::new());
    assert!(decoded::<RouteConfiguration>(&whole, ResourceType::Route, "9080").vhds.is_none());
}

#[test]
fn a_changed_virtual_service_makes_its_host_again_and_nothing_else() {
    let mut mesh = bookinfo();
    // Without a service: a host of port 80, which has a table only because a service does.
    mesh.service("shop", "web", Some("10.96.0.30"), &["http:80"]);
    let outside = HostPattern::new("outside.example.com");
    let rule = forward(Vec::new(), vec![to(&fqdn("shop", "web"), None, 1)]);
    mesh.virtual_services.push(virtual_service("shop", "outside", std::slice::from_ref(&outside), vec![rule.clone()]));
    let mut session = Session::new(&mesh);

    let reviews = mesh.virtual_services[0].origin.clone();
    mesh.virtual_services[0].http[0].matches = vec![path(StringMatch::Exact("/new".into()))];
    assert_eq!(session.change(&mesh, Change::Config(reviews)), (told(&[&format!("+{REVIEWS}")]), 1));
    assert!(!session.listed_anew);

    let routed = mesh.virtual_services.last_mut().unwrap();
    let object = routed.origin.clone();
    routed.http[0].matches = vec![path(StringMatch::Exact("/new".into()))];
    assert_eq!(session.change(&mesh, Change::Config(object.clone())), (told(&["+80/outside.example.com:80"]), 1));
    assert!(!session.listed_anew);
    // Who sees it is another question than what it says.
    mesh.virtual_services.last_mut().unwrap().export_to = ExportTo(vec![Visibility::Namespace("data".into())]);
    assert_eq!(session.change(&mesh, Change::Config(object.clone())).0, told(&["-80/outside.example.com:80"]));
    assert!(session.listed_anew);
    mesh.virtual_services.last_mut().unwrap().export_to = ExportTo::default();
    assert_eq!(session.change(&mesh, Change::Config(object.clone())), (told(&["+80/outside.example.com:80"]), 1));
    mesh.virtual_services.pop();
    assert_eq!(session.change(&mesh, Change::Config(object)), (told(&["-80/outside.example.com:80"]), 0));
}

#[test]
fn a_service_that_comes_or_goes_is_no_change_of_its_table_or_of_other_hosts() {
    let mut mesh = bookinfo();
    let mut session = Session::new(&mesh);
    let key = mesh.service("shop", "new", Some("10.96.0.31"), &["http:9080"]).key.clone();
    let cluster = "outbound|9080||new.shop.svc.cluster.local";
    let host = "9080/new.shop.svc.cluster.local:9080";
    let (names, _) = session.change(&mesh, Change::Service(key.clone()));
    assert_eq!(names, told(&[&format!("+{cluster}"), &format!("+{host}")]));
    mesh.services.remove(&key);
    let (names, made) = session.change(&mesh, Change::Service(key));
    assert_eq!(names.into_iter().filter(|name| name.contains("9080/")).collect::<BTreeSet<_>>(), told(&[&format!("-{host}")]));
    assert!(made < 8, "{made} were made again");
}

#[test]
fn what_becomes_of_undeclared_hosts_is_a_change_of_tables_alone() {
    let mut mesh = bookinfo();
    let mut session = Session::new(&mesh);
    mesh.config.outbound_traffic_policy.mode = OutboundTrafficMode::RegistryOnly;
    let (names, _) = session.change(&mesh, Change::Mesh);
    assert!(names.contains("+9080") && !names.iter().any(|name| name.contains('/')), "{names:?}");
    assert_eq!(table(&session.last, "9080").virtual_hosts[0].name, "block_all");
}

#[test]
fn proxies_of_all_namespaces_share_the_hosts_that_none_of_them_is_near_to() {
    let mut mesh = bookinfo();
    mesh.service("elsewhere", "far", Some("10.96.0.32"), &["http:9080"]);
    let mut compiler = Compiler::new(mesh.snapshot());
    let mut of = |namespace, name| compiler.compile(&splitting(&mesh, namespace, name));
    let (page, db) = (of("shop", "productpage-v1"), of("data", "db-0"));
    let same = |name| Arc::ptr_eq(page.get(ResourceType::VirtualHost, name).unwrap(), db.get(ResourceType::VirtualHost, name).unwrap());
    assert!(same("9080/far.elsewhere.svc.cluster.local:9080"));
    assert!(Arc::ptr_eq(page.get(ResourceType::Route, "9080").unwrap(), db.get(ResourceType::Route, "9080").unwrap()));
    assert!(!same(REVIEWS), "short names lead to services of one's own namespace");
}

#[test]
fn a_name_that_two_hosts_would_have_is_the_first_ones_in_both_forms() {
    let mut mesh = bookinfo();
    // Both have one address.
    mesh.service("shop", "first", Some("10.96.0.40"), &["http:9080"]);
    mesh.service("shop", "second", Some("10.96.0.40"), &["http:9080"]);
    let compiled = page(&mesh);
    let has = |name: &str| host(&compiled, &format!("9080/{name}.shop.svc.cluster.local:9080")).domains.contains(&"10.96.0.40".to_owned());
    assert_eq!((has("first"), has("second")), (true, false));
    agrees(&mesh);
    let key = mesh.services.keys().find(|key| key.host == fqdn("shop", "first")).unwrap().clone();
    let mut session = Session::new(&mesh);
    mesh.services.remove(&key);
    let (names, _) = session.change(&mesh, Change::Service(key));
    assert!(names.contains("+9080/second.shop.svc.cluster.local:9080"), "{names:?}");
    let second: VirtualHost = host(&session.last, "9080/second.shop.svc.cluster.local:9080");
    assert!(second.domains.contains(&"10.96.0.40:9080".to_owned()));
}

/// Hosts by their domains, which are each host's own, with whatever they are called.
fn by_domains(table: &RouteConfiguration) -> BTreeMap<Vec<String>, VirtualHost> {
    let hosts = table.virtual_hosts.iter().map(|host| (host.domains.clone(), VirtualHost { name: String::new(), ..host.clone() }));
    hosts.collect()
}

/// What differs between the tables of a proxy and those of one that gets them whole.
pub(super) fn that_differ(snapshot: &Arc<Snapshot>, proxy: &Proxy) -> Option<String> {
    let [split, whole] = [true, false].map(|splits_tables| compile(snapshot.clone(), &Proxy { splits_tables, ..proxy.clone() }));
    if names(&split, ResourceType::Route) != names(&whole, ResourceType::Route) {
        return Some("the tables".to_owned());
    }
    if split.faults() != whole.faults() {
        return Some(format!("faults: {:?} and {:?}", split.faults(), whole.faults()));
    }
    let hosts = split.resources(ResourceType::VirtualHost).len();
    let of_tables: usize = split.resources(ResourceType::Route).iter().map(|table| split.hosts_of(&table.name).count()).sum();
    if hosts != of_tables {
        return Some(format!("{hosts} hosts, {of_tables} of them of a table"));
    }
    whole.resources(ResourceType::Route).into_iter().find_map(|resource| {
        let one = table(&whole, &resource.name);
        let WholeTable { message: other, sources } = split.whole_table(split.get(ResourceType::Route, &resource.name)?).unwrap();
        let hosts = (by_domains(&one), by_domains(&other));
        let bare = |table: RouteConfiguration| RouteConfiguration { virtual_hosts: Vec::new(), ..table };
        let same = hosts.0 == hosts.1 && one.virtual_hosts.len() == other.virtual_hosts.len() && bare(one) == bare(other);
        let known = sources.iter().all(|source| resource.sources.contains(source));
        (!same || !known).then(|| format!("{}: {hosts:#?}, sources {:?} and {sources:?}", resource.name, resource.sources))
    })
}

fn agrees(mesh: &TestMesh) {
    let differing = that_differ(&mesh.snapshot(), &proxy(mesh, "shop", "productpage-v1"));
    assert_eq!(differing, None);
}

/// The sample, with an EnvoyFilter of these patches of routes.
fn patched(patches: &[(PatchedObject, RouteConfigurationMatch, PatchOperation)]) -> TestMesh {
    let mut mesh = bookinfo();
    let patches = patches.iter().enumerate().map(|(place, (of, wanted, operation))| {
        let mut patch = patch(place, *of, PatchContext::SidecarOutbound, operation.clone());
        patch.object = ObjectMatch::RouteConfiguration(wanted.clone());
        patch
    });
    mesh.objects.push(envoy_filter("shop", "change", &[], patches.collect()).into());
    mesh
}

fn merge(value: Value) -> PatchOperation {
    PatchOperation::Merge(Arc::new(value))
}

fn add(value: Value) -> PatchOperation {
    PatchOperation::Add(Arc::new(value), FilterClass::Unspecified)
}

/// A host of that domain, which answers itself.
fn answering(domain: &str) -> Value {
    json!({"name": domain, "domains": [domain], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]})
}

/// The virtual host of that name in the table of port 9080.
fn of_host(name: &str) -> RouteConfigurationMatch {
    RouteConfigurationMatch { port: Some(9080), virtual_host: Some(name.into()), ..RouteConfigurationMatch::default() }
}

fn reviews() -> RouteConfigurationMatch {
    of_host("reviews.shop.svc.cluster.local:9080")
}

#[test]
fn patches_find_hosts_by_the_names_that_they_have_in_whole_tables() {
    let header = json!({"response_headers_to_add": [{"header": {"key": "x-a", "value": "b"}}]});
    let teapot = json!({"name": "teapot", "match": {"path": "/tea"}, "direct_response": {"status": 418}});
    let mesh = patched(&[
        (PatchedObject::VirtualHost, reviews(), merge(header)),
        (PatchedObject::HttpRoute, reviews(), PatchOperation::InsertFirst(Arc::new(teapot))),
        (PatchedObject::VirtualHost, of_host("details.shop.svc.cluster.local:9080"), PatchOperation::Remove),
    ]);
    let compiled = page(&mesh);
    let reviews = host(&compiled, REVIEWS);
    assert_eq!((reviews.response_headers_to_add.len(), &*reviews.routes[0].name, &*reviews.name), (1, "teapot", REVIEWS));
    assert!(compiled.get(ResourceType::VirtualHost, DETAILS).is_none());
    agrees(&mesh);
}

#[test]
fn a_host_that_users_add_stands_in_the_table_and_one_that_they_replace_keeps_its_name() {
    let mesh = patched(&[
        (PatchedObject::VirtualHost, of_host("any"), add(answering("added.example.com"))),
        (PatchedObject::VirtualHost, reviews(), PatchOperation::Replace(Arc::new(answering("replaced.example.com")))),
    ]);
    let compiled = page(&mesh);
    let inline: Vec<String> = table(&compiled, "9080").virtual_hosts.into_iter().map(|host| host.name).collect();
    assert_eq!(inline, ["allow_any", "added.example.com"]);
    assert_eq!(host(&compiled, REVIEWS).domains, ["replaced.example.com"]);
    agrees(&mesh);
}

#[test]
fn a_table_can_be_given_more_hosts_or_others() {
    let hosts = |domain| json!({"virtual_hosts": [answering(domain)]});
    let port = RouteConfigurationMatch { port: Some(9080), ..RouteConfigurationMatch::default() };
    let more = patched(&[(PatchedObject::RouteConfiguration, port.clone(), merge(hosts("more.example.com")))]);
    assert_eq!(table(&page(&more), "9080").virtual_hosts.len(), 2);
    assert!(page(&more).get(ResourceType::VirtualHost, REVIEWS).is_some());
    agrees(&more);

    let others =
        patched(&[(PatchedObject::RouteConfiguration, port, PatchOperation::MergeReplacingLists(Arc::new(hosts("other.example.com"))))]);
    let compiled = page(&others);
    assert_eq!(table(&compiled, "9080").virtual_hosts.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["other.example.com"]);
    assert_eq!(compiled.hosts_of("9080").count(), 0);
    agrees(&others);
}

#[test]
fn a_host_that_is_added_takes_no_domain_from_one_that_is_there() {
    let reviews_domain = "Reviews.shop";
    let clashing = (PatchedObject::VirtualHost, of_host("any"), add(answering(reviews_domain)));
    let mesh = patched(std::slice::from_ref(&clashing));
    let compiled = page(&mesh);
    assert_eq!(table(&compiled, "9080").virtual_hosts.len(), 1);
    let faults: Vec<_> = compiled.faults().into_iter().map(|fault| fault.message.clone()).collect();
    assert_eq!(faults, ["route table 9080 has another virtual host of domain reviews.shop"]);
    agrees(&mesh);
    // In the place of one that is removed it may stand.
    let mesh = patched(&[(PatchedObject::VirtualHost, reviews(), PatchOperation::Remove), clashing]);
    let compiled = page(&mesh);
    assert_eq!(table(&compiled, "9080").virtual_hosts.len(), 2);
    assert!(compiled.faults().is_empty(), "{:?}", compiled.faults());
    agrees(&mesh);
}

/// What was left out of a proxy's configuration, and whether some domain of the table is there twice.
fn outcome(mesh: &TestMesh) -> (Vec<String>, bool) {
    let compiled = page(mesh);
    let apart = compiled.hosts_of("9080").map(|it| host(&compiled, &it.name));
    let domains: Vec<String> = table(&compiled, "9080").virtual_hosts.into_iter().chain(apart).flat_map(|it| it.domains).collect();
    let distinct: BTreeSet<String> = domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    let faults = compiled.faults().into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
    agrees(mesh);
    (faults, distinct.len() < domains.len())
}

#[test]
fn no_patch_gives_a_host_the_domain_of_another_one() {
    let port = || RouteConfigurationMatch { port: Some(9080), ..RouteConfigurationMatch::default() };
    let details = || of_host("details.shop.svc.cluster.local:9080");
    let hosts = |domains: &[&str]| json!({"virtual_hosts": domains.iter().map(|it| answering(it)).collect::<Vec<_>>()});
    let called = |domain: &str| merge(json!({"domains": [domain]}));
    let replacing = |value| PatchOperation::MergeReplacingLists(Arc::new(value));
    let fault = |index: usize, domain: &str| {
        vec![format!("spec.configPatches[{index}]: route table 9080 has another virtual host of domain {domain}")]
    };
    for (apply_to, wanted, operation, domain) in [
        (PatchedObject::RouteConfiguration, port(), merge(hosts(&["Reviews.shop"])), "reviews.shop"),
        (PatchedObject::RouteConfiguration, port(), replacing(hosts(&["a.example", "a.example"])), "a.example"),
        (PatchedObject::VirtualHost, details(), called("reviews.shop"), "reviews.shop"),
        (PatchedObject::VirtualHost, details(), called("details.shop"), "details.shop"),
        (PatchedObject::VirtualHost, details(), PatchOperation::Replace(Arc::new(answering("*"))), "*"),
        (PatchedObject::VirtualHost, port(), called("a.example"), "a.example"),
    ] {
        let what = format!("{apply_to:?} {operation:?}");
        assert_eq!(outcome(&patched(&[(apply_to, wanted, operation)])), (fault(0, domain), false), "{what}");
    }
    // Of two that want the same name the first one gets it.
    let both = [(PatchedObject::VirtualHost, reviews(), called("a.example")), (PatchedObject::VirtualHost, details(), called("a.example"))];
    let mesh = patched(&both);
    assert_eq!(outcome(&mesh), (fault(1, "a.example"), false));
    assert!(host(&page(&mesh), REVIEWS).domains.contains(&"a.example".to_owned()));
    // A name that nobody has any more is free.
    let freed = [
        (PatchedObject::VirtualHost, reviews(), PatchOperation::Remove),
        (PatchedObject::RouteConfiguration, port(), merge(hosts(&["reviews.shop"]))),
    ];
    assert_eq!(outcome(&patched(&freed)), (Vec::new(), false));
}

#[test]
fn a_socket_has_a_host_for_each_port_of_a_service() {
    let mut mesh = bookinfo();
    mesh.service("shop", "both", Some("10.96.0.33"), &["http:9080", "http2:9081"]);
    let socket = EgressListener {
        bind: Some(Bind::Socket("/run/app".into())),
        hosts: vec![HostSelector { namespace: None, host: HostPattern::new("*") }],
        ..EgressListener::default()
    };
    mesh.sidecars.push(Sidecar {
        origin: ObjectRef::new("Sidecar", "shop", "socket"),
        selector: labels(&[]),
        ingress: Vec::new(),
        inbound_connection_pool: None,
        egress: Some(vec![socket]),
        outbound_traffic: None,
        egress_proxy: None,
        created: 1,
    });
    let compiled = page(&mesh);
    let [first, second] = ["9080", "9081"].map(|port| host(&compiled, &format!("unix:///run/app/both.shop.svc.cluster.local:{port}")));
    assert!(first.domains.contains(&"both".to_owned()) && !second.domains.contains(&"both".to_owned()));
    assert!(second.domains.contains(&"both:9081".to_owned()));
    assert!(matches!(second.routes[0].action, Some(route::Action::Route(_))));
    agrees(&mesh);
}
