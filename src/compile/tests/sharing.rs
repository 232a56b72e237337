//! What proxies share, and what a change costs.

use std::{collections::BTreeSet, sync::Arc};

use super::{Compiled, Proxy, ResourceType, proxy};
use crate::compile::Compiler;
use crate::model::{Change, Changes, HttpMatch, ObjectRef, ServiceKey, Snapshot};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, labels, to, virtual_service};

fn same(a: &Compiled, b: &Compiled, kind: ResourceType, name: &str) -> bool {
    Arc::ptr_eq(a.get(kind, name).unwrap(), b.get(kind, name).unwrap())
}

/// A compiler with what it has compiled for a proxy.
struct Session {
    compiler: Compiler,
    proxy: Proxy,
    last: Compiled,
}

impl Session {
    fn new(mesh: &TestMesh, namespace: &str, name: &str) -> Self {
        let mut compiler = Compiler::new(mesh.snapshot());
        let proxy = proxy(mesh, namespace, name);
        let last = compiler.compile(&proxy);
        Self { compiler, proxy, last }
    }

    /// The names of what is to be sent after a change, and how many resources had to be made for it.
    fn change(&mut self, snapshot: Arc<Snapshot>, changes: &[Change]) -> (BTreeSet<String>, usize) {
        self.compiler.advance(snapshot, &Changes::from_iter(changes.iter().cloned()));
        let before = self.compiler.kept().0;
        let new = self.compiler.compile(&self.proxy);
        let made = self.compiler.kept().0 - before;
        let differences = ResourceType::ALL.into_iter().flat_map(|kind| new.differences(Some(&self.last), kind));
        let names = differences.map(|it| it.name.to_string()).collect();
        self.last = new;
        (names, made)
    }
}

#[test]
fn proxies_of_all_namespaces_share_clusters_and_endpoints_and_those_of_one_their_routes() {
    let mesh = bookinfo();
    let mut compiler = Compiler::new(mesh.snapshot());
    let mut of = |namespace, name| compiler.compile(&proxy(&mesh, namespace, name));
    let (page, ratings, db) = (of("shop", "productpage-v1"), of("shop", "ratings-v1"), of("data", "db-0"));
    let reviews = "outbound|9080||reviews.shop.svc.cluster.local";
    for (kind, name) in [(ResourceType::Cluster, reviews), (ResourceType::Endpoints, reviews), (ResourceType::Listener, "0.0.0.0_9080")] {
        assert!(same(&page, &ratings, kind, name) && same(&page, &db, kind, name), "{kind:?}");
    }
    assert!(same(&page, &ratings, ResourceType::Route, "9080"));
    assert!(!same(&page, &db, ResourceType::Route, "9080"), "short names lead to services of one's own namespace");
}

#[test]
fn labels_divide_only_the_routes_that_ask_for_them() {
    let mut mesh = bookinfo();
    let condition = HttpMatch { source_labels: labels(&[("app", "productpage")]), ..HttpMatch::default() };
    let rule = forward(vec![condition], vec![to(&fqdn("shop", "ratings"), None, 1)]);
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], vec![rule]));
    let mut compiler = Compiler::new(mesh.snapshot());
    let mut of = |name| compiler.compile(&proxy(&mesh, "shop", name));
    let (page, ratings, reviews) = (of("productpage-v1"), of("ratings-v1"), of("reviews-v1"));
    assert!(!same(&page, &ratings, ResourceType::Route, "9080"));
    assert!(same(&reviews, &ratings, ResourceType::Route, "9080"));
    assert!(same(&page, &ratings, ResourceType::Listener, "0.0.0.0_9080"));
}

#[test]
fn a_new_endpoint_is_one_clusters_assignments() {
    let mut mesh = bookinfo();
    let mut session = Session::new(&mesh, "shop", "productpage-v1");
    mesh.workload("shop", "details-v1b", "10.244.2.9", &[("app", "details"), ("version", "v1")]);
    let key = ServiceKey { host: fqdn("shop", "details"), namespace: "shop".into() };
    let (names, made) = session.change(mesh.snapshot(), &[Change::Endpoints(key)]);
    assert_eq!(names, BTreeSet::from(["outbound|9080||details.shop.svc.cluster.local".to_owned()]));
    assert_eq!(made, 1);
}

#[test]
fn a_rule_for_one_host_is_one_route_table() {
    let mut mesh = bookinfo();
    let mut session = Session::new(&mesh, "shop", "productpage-v1");
    let rule = forward(Vec::new(), vec![to(&fqdn("shop", "ratings"), None, 1)]);
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], vec![rule]));
    let changed = Change::Config(ObjectRef::new("VirtualService", "shop", "details"));
    let (names, _) = session.change(mesh.snapshot(), &[changed]);
    assert_eq!(names, BTreeSet::from(["9080".to_owned()]));
}

#[test]
fn a_change_that_changes_nothing_is_not_sent() {
    let mesh = bookinfo();
    let mut session = Session::new(&mesh, "shop", "productpage-v1");
    let everything = mesh.services.keys().cloned().map(Change::Service).chain([Change::Mesh]).collect::<Vec<_>>();
    assert_eq!(session.change(mesh.snapshot(), &everything).0, BTreeSet::new());
}

#[test]
fn what_nobody_has_is_forgotten_and_what_a_proxy_has_is_not_made_again() {
    let mesh = bookinfo();
    let snapshot = mesh.snapshot();
    let mut compiler = Compiler::new(snapshot.clone());
    let page = proxy(&mesh, "shop", "productpage-v1");
    let held = compiler.compile(&page);
    let needed = compiler.kept();
    compiler.compile(&proxy(&mesh, "istio-system", "gateway-0"));
    let all = compiler.kept();
    assert!(all.0 > needed.0 && all.1 > needed.1);
    for _ in 0..200 {
        compiler.advance(snapshot.clone(), &Changes::new());
        // It asks for nothing that it has.
        assert!(compiler.compile_again(&page, &held).same_as(&held));
        compiler.tidy();
    }
    assert_eq!(compiler.kept(), needed);
    assert!(compiler.compile(&page).same_as(&held));
}
