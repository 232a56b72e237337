//! `loadBalancer`: how an endpoint is chosen.

use ferromesh_crds::networking::load_balancer::{ConsistentHash, LoadBalancer, LocalityLoadBalancer, SimpleLoadBalancer, Warmup};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model;

/// How an endpoint is chosen; `None` is the mesh's choice.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, balancer: &LoadBalancer) -> Option<model::LoadBalancer> {
    if balancer.simple.is_some() && balancer.consistent_hash.is_some() {
        reading.error(at, Code::Conflict, "simple and consistentHash exclude each other");
    }
    if let Some(hash) = &balancer.consistent_hash {
        check_hash(reading, &at.field("consistentHash"), hash);
    }
    if let Some(setting) = &balancer.locality_lb_setting {
        check_locality(reading, &at.field("localityLbSetting"), setting);
    }
    if let Some(warmup) = &balancer.warmup {
        check_warmup(reading, &at.field("warmup"), warmup);
    }
    reading.duration(&at.field("warmupDurationSecs"), balancer.warmup_duration_secs.as_deref());
    let others = [
        ("consistentHash", balancer.consistent_hash.is_some()),
        ("localityLbSetting", balancer.locality_lb_setting.is_some()),
        ("zoneAwareLbSetting", balancer.zone_aware_lb_setting.is_some()),
        ("warmupDurationSecs", balancer.warmup_duration_secs.is_some()),
        ("warmup", balancer.warmup.is_some()),
    ];
    for (field, present) in others {
        reading.not_honoured(at, field, present);
    }
    match balancer.simple? {
        SimpleLoadBalancer::Unspecified => None,
        SimpleLoadBalancer::LeastConn | SimpleLoadBalancer::LeastRequest => Some(model::LoadBalancer::LeastRequest),
        SimpleLoadBalancer::Random => Some(model::LoadBalancer::Random),
        SimpleLoadBalancer::Passthrough => Some(model::LoadBalancer::Passthrough),
        SimpleLoadBalancer::RoundRobin => Some(model::LoadBalancer::RoundRobin),
    }
}

fn check_hash(reading: &mut Reading<'_>, at: &At<'_>, hash: &ConsistentHash) {
    let keys = [
        hash.http_header_name.is_some(),
        hash.http_cookie.is_some(),
        hash.use_source_ip.is_some(),
        hash.http_query_parameter_name.is_some(),
    ];
    if keys.iter().filter(|key| **key).count() > 1 {
        let message = "httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName exclude each other";
        reading.error(at, Code::Conflict, message);
    }
    if hash.ring_hash.is_some() && hash.maglev.is_some() {
        reading.error(at, Code::Conflict, "ringHash and maglev exclude each other");
    }
    if let Some(cookie) = &hash.http_cookie {
        let at = at.field("httpCookie");
        if cookie.name.is_empty() {
            reading.required(&at.field("name"));
        }
        if let Some(ttl) = &cookie.ttl {
            reading.any_duration(&at.field("ttl"), ttl);
        }
    }
}

fn check_locality(reading: &mut Reading<'_>, at: &At<'_>, setting: &LocalityLoadBalancer) {
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        reading.error(at, Code::Conflict, "distribute and failover exclude each other");
    }
    let list = at.field("distribute");
    for (index, distribute) in setting.distribute.iter().enumerate() {
        let sum: u64 = distribute.to.values().map(|share| u64::from(*share)).sum();
        if sum != 100 {
            reading.error(&list.index(index).field("to"), Code::BadWeights, format!("shares add up to {sum}, not 100"));
        }
    }
    let list = at.field("failover");
    for (index, failover) in setting.failover.iter().enumerate() {
        let (from, to) = (failover.from.as_deref().unwrap_or_default(), failover.to.as_deref().unwrap_or_default());
        if from == to {
            reading.error(&list.index(index), Code::Conflict, format!("{} can't stand in for itself", quoted(from)));
        }
        if from.contains(['/', '*']) || to.contains(['/', '*']) {
            reading.error(&list.index(index), Code::BadName, "from and to are regions, without zones or '*'");
        }
    }
}

fn check_warmup(reading: &mut Reading<'_>, at: &At<'_>, warmup: &Warmup) {
    if warmup.duration.is_none() {
        reading.required(&at.field("duration"));
    }
    reading.duration(&at.field("duration"), warmup.duration.as_deref());
    if warmup.minimum_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        reading.error(&at.field("minimumPercent"), Code::OutOfRange, "must be from 0 to 100");
    }
    if warmup.aggression.is_some_and(|aggression| aggression < 1.0) {
        reading.error(&at.field("aggression"), Code::OutOfRange, "must be at least 1");
    }
}
