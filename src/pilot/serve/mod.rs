//! The xDS server: `envoy.service.discovery.v3.AggregatedDiscoveryService` over mutual TLS.

mod bootstrap;
mod chunks;
mod conversation;
mod incoming;
mod requests;
mod session;
mod whole;
mod wire;

pub(super) use conversation::{Server, routes};
pub(super) use session::{Progress, Rejection, nonce_text};
pub(super) use wire::version_text;
