//! `networking.istio.io`: where requests go, what listens, and what each workload sees.

pub mod connection_pool;
pub mod destination_rule;
pub mod gateway;
pub mod load_balancer;
pub mod service_entry;
pub mod sidecar;
pub mod virtual_service;

pub use destination_rule::{DestinationRule, DestinationRuleSpec};
pub use gateway::{Gateway, GatewaySpec};
pub use service_entry::{ServiceEntry, ServiceEntrySpec};
pub use sidecar::{Sidecar, SidecarSpec};
pub use virtual_service::{VirtualService, VirtualServiceSpec};
