//! When the compiler itself fails.

use std::sync::Arc;

use super::{ResourceType, proxy};
use crate::compile::{Compiler, fixture::FAILS};
use crate::model::{Change, ObjectRef, Snapshot};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, to};

/// The sample application, whose routes to reviews make the compiler fail.
fn with_failing_rule() -> TestMesh {
    let mut mesh = bookinfo();
    let mut rule = forward(Vec::new(), vec![to(&fqdn("shop", "reviews"), None, 1)]);
    rule.name = FAILS.into();
    mesh.virtual_services[0].http = vec![rule];
    mesh
}

fn version(mesh: &TestMesh, version: u64) -> Arc<Snapshot> {
    Arc::new(Snapshot { version, ..(*mesh.snapshot()).clone() })
}

#[test]
fn what_the_compiler_fails_on_stays_as_it_was_and_everything_else_follows() {
    let (good, bad) = (bookinfo(), with_failing_rule());
    let object = good.virtual_services[0].origin.clone();
    let near = proxy(&good, "shop", "productpage-v1");
    let mut compiler = Compiler::new(version(&good, 1));
    let before = compiler.compile(&near);
    assert_eq!(before.failures().count(), 0);

    let mut changed = bad.clone();
    changed.service("shop", "new", Some("10.96.0.77"), &["http:9081"]);
    let key = changed.services.keys().find(|key| key.host == fqdn("shop", "new")).unwrap().clone();
    compiler.advance(version(&changed, 2), &[Change::Config(object.clone()), Change::Service(key)].into());
    let after = compiler.compile(&near);
    assert_eq!(after.get(ResourceType::Route, "9080"), before.get(ResourceType::Route, "9080"));
    assert!(after.get(ResourceType::Route, "9081").is_some());
    let failures: Vec<_> = after.failures().collect();
    assert_eq!((failures.len(), &*failures[0].part, &*failures[0].message), (1, "PortRoutes(9080)", FAILS));
    assert!(failures[0].sources.contains(&object), "{failures:?}");
    // Whoever comes meanwhile is told the same.
    let other = compiler.compile(&proxy(&good, "shop", "ratings-v1"));
    assert_eq!(other.failures().count(), 1);

    changed.virtual_services.clone_from(&good.virtual_services);
    compiler.advance(version(&changed, 3), &[Change::Config(object)].into());
    assert_eq!(compiler.compile(&near).failures().count(), 0);
}

#[test]
fn a_fork_answers_what_would_be_and_leaves_its_origin_alone() {
    let (good, bad) = (bookinfo(), with_failing_rule());
    let (object, near) = (good.virtual_services[0].origin.clone(), proxy(&good, "shop", "productpage-v1"));
    let mut compiler = Compiler::new(version(&bad, 1));
    let real = compiler.compile(&near);
    assert_eq!(real.failures().count(), 1);
    let mut without = (*version(&bad, 1)).clone();
    without.config.remove(&object);
    let mut fork = compiler.fork(Arc::new(without), &[Change::Config(object)].into());
    let imagined = fork.compile(&near);
    assert_eq!(imagined.failures().count(), 0);
    let names: Vec<_> = imagined.differences(Some(&real), ResourceType::Route).into_iter().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["9080"]);
    assert!(imagined.differences(Some(&real), ResourceType::Endpoints).is_empty());
    assert!(compiler.compile(&near).same_as(&real));
    // Their sections never have a number in common, so that a proxy may go from one to the other and back.
    compiler.advance(version(&good, 2), &[Change::Config(ObjectRef::new("VirtualService", "shop", "reviews"))].into());
    assert_eq!(compiler.compile(&near).differences(Some(&imagined), ResourceType::Route).len(), 1);
}
