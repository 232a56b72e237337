//! `networking.istio.io`: where requests go, what listens, and what each workload sees.

pub mod connection_pool;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod load_balancer;
pub mod proxy_config;
pub mod service_entry;
pub mod sidecar;
pub mod virtual_service;
pub mod workload_entry;
pub mod workload_group;

pub use destination_rule::{DestinationRule, DestinationRuleSpec};
pub use envoy_filter::{EnvoyFilter, EnvoyFilterSpec};
pub use gateway::{Gateway, GatewaySpec};
pub use proxy_config::{ProxyConfig, ProxyConfigSpec};
pub use service_entry::{ServiceEntry, ServiceEntrySpec};
pub use sidecar::{Sidecar, SidecarSpec};
pub use virtual_service::{VirtualService, VirtualServiceSpec};
pub use workload_entry::{WorkloadEntry, WorkloadEntrySpec};
pub use workload_group::{WorkloadGroup, WorkloadGroupSpec};
