//! How a cluster chooses among its endpoints.

use envoy_api::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig, SlowStartConfig},
    },
    core::v3::RuntimeDouble,
};

use super::Discovery;
use crate::compile::message::{duration, percent};
use crate::model::{HashTable, LoadBalancer, TrafficPolicy, Warmup};

/// The least number of points on a ring of hashes where the user gives none.
const RING: u64 = 1024;
/// What names the curve of slow starts at run time. Envoy wants a name; nobody sets it.
const AGGRESSION: &str = "mesh.slow_start_aggression";

/// How the policy says that an endpoint is chosen, if it does.
pub(super) fn algorithm(policy: &TrafficPolicy) -> Option<&LoadBalancer> {
    policy.load_balancer.as_ref()?.algorithm.as_ref()
}

/// Lets a cluster choose as the policy says.
pub(super) fn choose(cluster: &mut Cluster, policy: &TrafficPolicy, discovery: Discovery) {
    let (algorithm, config) = match algorithm(policy) {
        _ if discovery.is_unlisted() => (LbPolicy::ClusterProvided, None),
        Some(LoadBalancer::Random) => (LbPolicy::Random, None),
        Some(LoadBalancer::ConsistentHash(hash)) => by_hash(hash.table),
        Some(LoadBalancer::RoundRobin) => {
            let config = |slow| LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(slow) });
            (LbPolicy::RoundRobin, slow_start(policy).map(config))
        }
        None | Some(LoadBalancer::LeastRequest | LoadBalancer::Passthrough) => {
            let config = |slow| {
                let config = LeastRequestLbConfig { slow_start_config: Some(slow), ..LeastRequestLbConfig::default() };
                LbConfig::LeastRequestLbConfig(config)
            };
            (LbPolicy::LeastRequest, slow_start(policy).map(config))
        }
    };
    cluster.lb_policy = algorithm.into();
    cluster.lb_config = config;
}

fn by_hash(table: HashTable) -> (LbPolicy, Option<LbConfig>) {
    match table {
        HashTable::Ring { minimum_size } => {
            let config = RingHashLbConfig { minimum_ring_size: Some(minimum_size.unwrap_or(RING)), ..RingHashLbConfig::default() };
            (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(config)))
        }
        HashTable::Maglev { size } => {
            let config = size.map(|size| LbConfig::MaglevLbConfig(MaglevLbConfig { table_size: Some(size) }));
            (LbPolicy::Maglev, config)
        }
    }
}

fn slow_start(policy: &TrafficPolicy) -> Option<SlowStartConfig> {
    let warmup: &Warmup = policy.load_balancer.as_ref()?.warmup.as_ref()?;
    let curve = |default_value| RuntimeDouble { default_value, runtime_key: AGGRESSION.to_owned() };
    Some(SlowStartConfig {
        slow_start_window: Some(duration(warmup.duration)),
        aggression: warmup.aggression.map(curve),
        min_weight_percent: warmup.minimum.map(percent),
    })
}
