//! What Envoy changes without closing connections: a listener of which only filter chains differ, and the chains that stay the same.

use std::{collections::BTreeMap, sync::Arc};

use envoy_api::envoy::config::listener::v3::{FilterChain, Listener};
use prost::Message;

use super::{ResourceType, compiled};
use crate::model::MtlsMode;
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, peer_authentication, to, virtual_service};

/// A proxy's listeners: without their chains, and the chains by their names.
type Listeners = BTreeMap<String, (Listener, BTreeMap<String, FilterChain>)>;

fn listeners(mesh: &TestMesh, namespace: &str, name: &str) -> Listeners {
    let all = compiled(mesh, namespace, name);
    let listener = |resource: &Arc<crate::compile::Resource>| {
        let mut listener = Listener::decode(&*resource.body).unwrap();
        let chains = std::mem::take(&mut listener.filter_chains);
        let default = listener.default_filter_chain.take();
        let named = chains.into_iter().chain(default).enumerate().map(|(place, chain)| {
            let key = if chain.name.is_empty() { format!("{place}") } else { format!("{} {:?}", chain.name, chain.filter_chain_match) };
            (key, chain)
        });
        (listener.name.clone(), (listener.clone(), named.collect()))
    };
    all.resources(ResourceType::Listener).into_iter().map(listener).collect()
}

/// The names of listeners that differ, with how many of their chains differ and how many there are; panics if more than chains differs.
fn changed(before: &Listeners, after: &Listeners) -> Vec<(String, usize, usize)> {
    let mut changed = Vec::new();
    for (name, (listener, chains)) in before {
        let (new, new_chains) = &after[name];
        assert_eq!(listener, new, "{name} would close all its connections");
        let differing = chains.iter().filter(|(key, chain)| new_chains.get(*key) != Some(chain)).count();
        if chains != new_chains {
            changed.push((name.clone(), differing, chains.len()));
        }
    }
    changed
}

#[test]
fn a_policy_for_one_workload_changes_its_inbound_listener_and_nothing_of_others() {
    let before = bookinfo();
    let mut after = before.clone();
    after.peer_authentications.push(peer_authentication("shop", &[("app", "reviews")], MtlsMode::Strict));
    let of = |mesh: &TestMesh, namespace: &str, name: &str| listeners(mesh, namespace, name);
    // Not its chains alone: which connections are looked into for their protocol follows from the policy, too.
    let (own, new) = (of(&before, "shop", "reviews-v1"), of(&after, "shop", "reviews-v1"));
    let differing: Vec<_> = own.iter().filter(|(name, listener)| new.get(*name) != Some(listener)).map(|(name, _)| name).collect();
    assert_eq!(differing, ["virtualInbound"]);
    for (namespace, name) in [("shop", "ratings-v1"), ("shop", "productpage-v1"), ("data", "db-0"), ("istio-system", "gateway-0")] {
        assert_eq!(changed(&of(&before, namespace, name), &of(&after, namespace, name)), [], "{name}");
    }
}

#[test]
fn a_policy_for_one_port_leaves_the_chains_of_other_ports_alone() {
    let mut before = bookinfo();
    before.service("shop", "reviews-admin", Some("10.96.0.60"), &["http:9999"]).selector =
        [("app".to_owned(), "reviews".to_owned())].into();
    let mut after = before.clone();
    let mut policy = peer_authentication("shop", &[("app", "reviews")], MtlsMode::Permissive);
    policy.ports = [(9999, Some(MtlsMode::Strict))].into();
    after.peer_authentications.push(policy);
    let (before, after) = (listeners(&before, "shop", "reviews-v1"), listeners(&after, "shop", "reviews-v1"));
    let changed = changed(&before, &after);
    let [(name, differing, all)] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(name, "virtualInbound");
    assert!(*differing > 0 && *differing <= 3 && *all > 2 * *differing, "{differing} of {all} chains differ");
}

#[test]
fn routes_and_services_of_others_change_no_listener_but_those_of_their_own_ports() {
    let before = bookinfo();
    let mut after = before.clone();
    let ratings = fqdn("shop", "ratings");
    let rule = forward(Vec::new(), vec![to(&fqdn("shop", "details"), None, 1)]);
    after.virtual_services.push(virtual_service("shop", "ratings", &[ratings], vec![rule]));
    after.service("shop", "new", Some("10.96.0.70"), &["tcp:6379"]);
    for (namespace, name) in [("shop", "reviews-v1"), ("data", "db-0"), ("istio-system", "gateway-0")] {
        assert_eq!(changed(&listeners(&before, namespace, name), &listeners(&after, namespace, name)), [], "{name}");
    }
}
