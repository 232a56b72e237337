//! What does this API object mean, or what is wrong with it?
//!
//! Takes the API's types, or an object as JSON, and returns model values. An object that is not understood comes back as [`Invalid`]:
//! every problem at once, each with its field path and a code. What is legal but has no effect comes back as a warning beside the value,
//! so that nothing a user wrote is dropped in silence. The webhook and the index call the same functions, so what is admitted is what
//! is understood. Costs are bounded whatever the object holds: linear in its size, with caps on what is reported.
//!
//! It never reads a file, a clock or the cluster. The door for one object of any kind is [`parse_object`]; for one of a known type there
//! is a function a kind; [`mesh_config`] reads the mesh's settings.

mod authorization_policy;
mod cel_syntax;
mod connection_pool;
mod destination_rule;
mod endpoint;
mod envoy_filter;
mod extension;
mod gateway;
mod hosts;
mod jwt;
pub mod kubernetes;
mod labels;
mod legacy_authentication;
mod legacy_rbac;
mod mesh;
mod numbers;
mod object;
mod path;
mod peer_authentication;
mod policy_target;
mod problem;
mod proxy_config;
mod reading;
mod regex;
mod request_authentication;
mod server_tls;
mod service_entry;
mod sidecar;
mod telemetry;
mod text;
mod text_match;
mod url;
mod virtual_service;
mod visibility;
mod workload_entry;
mod workload_group;

pub use authorization_policy::authorization_policy;
pub use destination_rule::destination_rule;
pub use envoy_filter::envoy_filter;
pub use extension::{traffic_extension, wasm_plugin};
pub use gateway::gateway;
pub use legacy_authentication::{mesh_policy, policy};
pub use legacy_rbac::{cluster_rbac_config, rbac_config, service_role, service_role_binding};
pub use mesh::{mesh_config, mesh_problems, proxy_problems};
pub use object::{check_schema, parse_object};
pub use peer_authentication::peer_authentication;
pub use problem::{Code, Invalid, Parsed, Problem, clipped};
pub use proxy_config::proxy_config;
pub use reading::ParseContext;
pub use request_authentication::request_authentication;
pub use service_entry::service_entry;
pub use sidecar::sidecar;
pub use telemetry::telemetry;
pub use virtual_service::virtual_service;
pub use workload_entry::workload_entry;
pub use workload_group::workload_group;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod tests;
