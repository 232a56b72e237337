//! What of a request or connection decides its endpoint, where a policy wants the same endpoint for what has a property in common. The
//! hash is taken by whoever routes; the cluster only knows how to look it up.

use envoy_api::envoy::{
    config::route::v3::route_action::{
        HashPolicy,
        hash_policy::{ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter},
    },
    r#type::v3::{self as common, hash_policy::SourceIp},
};

use super::message::duration;
use crate::model::{HashCookie, HashKey, LoadBalancer, TrafficPolicy};

/// The property that the policy hashes, if it hashes any.
pub(super) fn key(policy: &TrafficPolicy) -> Option<&HashKey> {
    match policy.load_balancer.as_ref()?.algorithm.as_ref()? {
        LoadBalancer::ConsistentHash(hash) => hash.key.as_ref(),
        LoadBalancer::LeastRequest | LoadBalancer::RoundRobin | LoadBalancer::Random | LoadBalancer::Passthrough => None,
    }
}

/// How a route hashes requests for destinations with these policies, each property once.
pub(super) fn of_requests<'p>(policies: impl Iterator<Item = &'p TrafficPolicy>) -> Vec<HashPolicy> {
    let mut found: Vec<HashPolicy> = Vec::new();
    for hash in policies.filter_map(key).map(of_request) {
        if !found.contains(&hash) {
            found.push(hash);
        }
    }
    found
}

fn of_request(key: &HashKey) -> HashPolicy {
    let specifier = match key {
        HashKey::Header(name) => PolicySpecifier::Header(Header { header_name: name.to_string(), ..Header::default() }),
        HashKey::Cookie(of) => PolicySpecifier::Cookie(cookie(of)),
        HashKey::SourceAddress => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
        HashKey::QueryParameter(name) => PolicySpecifier::QueryParameter(QueryParameter { name: name.to_string() }),
    };
    HashPolicy { policy_specifier: Some(specifier), ..HashPolicy::default() }
}

fn cookie(cookie: &HashCookie) -> Cookie {
    let attributes = cookie.attributes.iter();
    let attributes = attributes.map(|(name, value)| CookieAttribute { name: name.to_string(), value: value.to_string() });
    Cookie {
        name: cookie.name.to_string(),
        // Envoy sets no cookie where there is no time to live, and one for the session where it is zero.
        ttl: cookie.ttl.map(duration),
        path: cookie.path.as_deref().unwrap_or_default().to_owned(),
        attributes: attributes.collect(),
    }
}

/// How opaque connections to destinations with these policies are hashed: they have no property but the client's address.
pub(super) fn of_connections<'p>(policies: impl Iterator<Item = &'p TrafficPolicy>) -> Vec<common::HashPolicy> {
    let by_address = policies.filter_map(key).any(|key| *key == HashKey::SourceAddress);
    let specifier = || common::hash_policy::PolicySpecifier::SourceIp(SourceIp {});
    by_address.then(|| common::HashPolicy { policy_specifier: Some(specifier()) }).into_iter().collect()
}
