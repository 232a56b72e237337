//! `loadBalancer`: how an endpoint is chosen.

use ferromesh_crds::networking::load_balancer::{
    ConsistentHash, HttpCookie, LoadBalancer, SimpleLoadBalancer, Warmup, ZoneAwareLoadBalancer,
};

use super::locality;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::config::text::{given, is_header_name, shared};
use crate::model::{self, HashKey, HashTable};

/// The greatest table of Maglev that Envoy takes.
const LARGEST_TABLE: u64 = 5_000_011;
/// The greatest ring that Envoy takes.
const LARGEST_RING: u64 = 8 * 1024 * 1024;

/// How an endpoint is chosen. `outlier` says whether there is outlier detection beside it, without which no locality ever fails.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, balancer: &LoadBalancer, outlier: bool) -> model::LoadBalancing {
    reading.at_most_one(at, [("simple", balancer.simple.is_some()), ("consistentHash", balancer.consistent_hash.is_some())]);
    if balancer.warmup.is_some() && balancer.warmup_duration_secs.is_some() {
        reading.error(at, Code::Conflict, "warmupDurationSecs is the old form of warmup: keep warmup");
    }
    let near =
        [("localityLbSetting", balancer.locality_lb_setting.is_some()), ("zoneAwareLbSetting", balancer.zone_aware_lb_setting.is_some())];
    reading.at_most_one(at, near);
    reading.deprecated(at, "warmupDurationSecs", balancer.warmup_duration_secs.is_some(), "warmup.duration");
    let old_warmup = reading.duration(&at.field("warmupDurationSecs"), balancer.warmup_duration_secs.as_deref());
    let simple = balancer.simple.and_then(|simple| match simple {
        SimpleLoadBalancer::Unspecified => None,
        SimpleLoadBalancer::LeastConn | SimpleLoadBalancer::LeastRequest => Some(model::LoadBalancer::LeastRequest),
        SimpleLoadBalancer::Random => Some(model::LoadBalancer::Random),
        SimpleLoadBalancer::Passthrough => Some(model::LoadBalancer::Passthrough),
        SimpleLoadBalancer::RoundRobin => Some(model::LoadBalancer::RoundRobin),
    });
    reading.deprecated(at, "simple", balancer.simple == Some(SimpleLoadBalancer::LeastConn), "LEAST_REQUEST, its new name");
    let hash = balancer.consistent_hash.as_ref();
    let hash = hash.map(|hash| model::LoadBalancer::ConsistentHash(consistent_hash(reading, &at.field("consistentHash"), hash)));
    let old_warmup = old_warmup.map(|duration| model::Warmup { duration, minimum: None, aggression: None });
    let setting = balancer.locality_lb_setting.as_ref();
    model::LoadBalancing {
        algorithm: simple.or(hash),
        locality: setting.map(|setting| locality::read(reading, &at.field("localityLbSetting"), setting, outlier)),
        zone_aware: balancer.zone_aware_lb_setting.as_ref().map(|one| zone_aware(reading, &at.field("zoneAwareLbSetting"), one, outlier)),
        warmup: balancer.warmup.as_ref().and_then(|one| warmup(reading, &at.field("warmup"), one)).or(old_warmup),
    }
}

fn consistent_hash(reading: &mut Reading<'_>, at: &At<'_>, hash: &ConsistentHash) -> model::ConsistentHash {
    let keys = [
        ("httpHeaderName", hash.http_header_name.is_some()),
        ("httpCookie", hash.http_cookie.is_some()),
        ("useSourceIp", hash.use_source_ip.is_some()),
        ("httpQueryParameterName", hash.http_query_parameter_name.is_some()),
    ];
    if reading.at_most_one(at, keys) == 0 {
        reading.warn(at, Code::NoEffect, "without httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName chance decides");
    }
    model::ConsistentHash { key: hash_key(reading, at, hash), table: hash_table(reading, at, hash) }
}

fn hash_key(reading: &mut Reading<'_>, at: &At<'_>, hash: &ConsistentHash) -> Option<HashKey> {
    if let Some(name) = &hash.http_header_name {
        if !is_header_name(name) {
            reading.error(&at.field("httpHeaderName"), Code::BadHeader, format!("{} is no name of a header", quoted(name)));
        }
        return Some(HashKey::Header(name.to_ascii_lowercase().into()));
    }
    if let Some(one) = &hash.http_cookie {
        return Some(HashKey::Cookie(cookie(reading, &at.field("httpCookie"), one)));
    }
    if let Some(name) = &hash.http_query_parameter_name {
        if name.is_empty() {
            reading.error(&at.field("httpQueryParameterName"), Code::Required, "the name of a query parameter must not be empty");
        }
        return Some(HashKey::QueryParameter(name.as_str().into()));
    }
    match hash.use_source_ip {
        Some(true) => Some(HashKey::SourceAddress),
        Some(false) => {
            reading.warn(&at.field("useSourceIp"), Code::NoEffect, "false names no property: chance decides");
            None
        }
        None => None,
    }
}

fn cookie(reading: &mut Reading<'_>, at: &At<'_>, cookie: &HttpCookie) -> model::HashCookie {
    if cookie.name.is_empty() {
        reading.required(&at.field("name"));
    }
    let list = at.field("attributes");
    for (index, _) in cookie.attributes.iter().enumerate().filter(|(_, attribute)| attribute.name.is_empty()) {
        reading.required(&list.index(index).field("name"));
    }
    let attributes = cookie.attributes.iter();
    let attributes = attributes.map(|one| (one.name.as_str().into(), one.value.as_deref().unwrap_or_default().into())).collect();
    model::HashCookie {
        name: cookie.name.as_str().into(),
        path: shared(&cookie.path),
        ttl: cookie.ttl.as_deref().and_then(|ttl| reading.any_duration(&at.field("ttl"), ttl)),
        attributes,
    }
}

/// A ring, unless Maglev's table is asked for; `minimumRingSize` is where 1.4 had the ring's size.
fn hash_table(reading: &mut Reading<'_>, at: &At<'_>, hash: &ConsistentHash) -> HashTable {
    reading.at_most_one(at, [("ringHash", hash.ring_hash.is_some()), ("maglev", hash.maglev.is_some())]);
    let old = hash.minimum_ring_size.filter(|size| *size > 0);
    reading.deprecated(at, "minimumRingSize", old.is_some(), "ringHash.minimumRingSize");
    if old.is_some() && (hash.ring_hash.is_some() || hash.maglev.is_some()) {
        let message = "minimumRingSize is the old form of ringHash.minimumRingSize: keep ringHash or maglev";
        reading.error(&at.field("minimumRingSize"), Code::Conflict, message);
    }
    if let Some(maglev) = &hash.maglev {
        let size = maglev.table_size;
        let prime = |size: u64| size < LARGEST_TABLE && is_prime(size);
        if let Some(size) = size.filter(|size| !prime(*size)) {
            let message = format!("{size} must be a prime number below {LARGEST_TABLE}");
            reading.error(&at.field("maglev").field("tableSize"), Code::OutOfRange, message);
        }
        return HashTable::Maglev { size };
    }
    let ring = at.field("ringHash");
    let (at, size) = match hash.ring_hash.as_ref() {
        Some(one) => (ring.field("minimumRingSize"), one.minimum_ring_size),
        None => (at.field("minimumRingSize"), old),
    };
    if let Some(size) = size.filter(|size| *size > LARGEST_RING) {
        reading.error(&at, Code::OutOfRange, format!("{size} is too great: {LARGEST_RING} at most"));
    }
    HashTable::Ring { minimum_size: size.filter(|size| *size > 0) }
}

fn is_prime(number: u64) -> bool {
    let least = number >= 2 && (number == 2 || !number.is_multiple_of(2));
    least && (3..).step_by(2).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

fn zone_aware(reading: &mut Reading<'_>, at: &At<'_>, setting: &ZoneAwareLoadBalancer, outlier: bool) -> model::ZoneAwareBalancing {
    locality::check_failover(reading, at, &setting.failover, &setting.failover_priority, outlier);
    if setting.min_cluster_size == Some(0) {
        reading.error(&at.field("minClusterSize"), Code::OutOfRange, "must be at least 1");
    }
    model::ZoneAwareBalancing {
        enabled: setting.enabled,
        failover: locality::failover(&setting.failover),
        failover_priority: setting.failover_priority.iter().map(|label| label.as_str().into()).collect(),
        min_cluster_size: setting.min_cluster_size,
    }
}

fn warmup(reading: &mut Reading<'_>, at: &At<'_>, warmup: &Warmup) -> Option<model::Warmup> {
    if !given(&warmup.duration) {
        reading.required(&at.field("duration"));
        return None;
    }
    if warmup.aggression.is_some_and(|aggression| !aggression.is_finite() || aggression < 1.0) {
        reading.error(&at.field("aggression"), Code::OutOfRange, "must be at least 1");
    }
    let minimum = warmup.minimum_percent.map(|percent| reading.percent(&at.field("minimumPercent"), percent));
    let duration = reading.duration(&at.field("duration"), warmup.duration.as_deref())?;
    Some(model::Warmup { duration, minimum, aggression: warmup.aggression })
}
