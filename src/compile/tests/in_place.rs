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
    let changed_chains = changed(&of(&before, "shop", "reviews-v1"), &of(&after, "shop", "reviews-v1"));
    let names: Vec<&str> = changed_chains.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["virtualInbound"]);
    for (namespace, name) in [("shop", "ratings-v1"), ("shop", "productpage-v1"), ("data", "db-0"), ("istio-system", "gateway-0")] {
        assert_eq!(changed(&of(&before, namespace, name), &of(&after, namespace, name)), [], "{name}");
    }
}

#[test]
fn connections_of_the_mesh_go_on_when_plain_text_is_no_longer_accepted() {
    let before = bookinfo();
    let mut after = before.clone();
    after.peer_authentications.push(peer_authentication("istio-system", &[], MtlsMode::Strict));
    // One that speaks HTTP, one that does not, and one that does not say.
    for (namespace, name) in [("shop", "reviews-v1"), ("data", "db-0"), ("shop", "legacy-0")] {
        let (own, new) = (listeners(&before, namespace, name), listeners(&after, namespace, name));
        let ((listener, chains), (new_listener, new_chains)) = (&own["virtualInbound"], &new["virtualInbound"]);
        assert_eq!(listener, new_listener, "{name}: all connections would end");
        let (of_mesh, others): (Vec<_>, Vec<_>) = chains.iter().partition(|(_, chain)| chain.transport_socket.is_some());
        assert!(!of_mesh.is_empty() && of_mesh.iter().all(|(key, chain)| new_chains.get(*key) == Some(chain)), "{name}");
        let black_hole = |key: &str| key.starts_with("virtualInbound-blackhole");
        let ends_mtls = |key: &str| new_chains.get(key).is_none_or(|chain| chain.transport_socket.is_some());
        assert!(others.iter().all(|(key, _)| black_hole(key) || ends_mtls(key)), "{name}: plain text is accepted");
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
