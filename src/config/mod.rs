//! What does this API object mean, or what is wrong with it?
//!
//! Takes the API's types, or an object as JSON, and returns model values. An object that is not understood comes back as [`Invalid`]:
//! every problem at once, each with its field path and a code. What is legal but has no effect comes back as a warning beside the value,
//! so that nothing a user wrote is dropped in silence. The webhook and the index call the same functions, so what is admitted is what
//! is understood. Costs are bounded whatever the object holds: linear in its size, with caps on what is reported.
//!
//! It never reads a file, a clock or the cluster. The door for one object of any kind is [`parse_object`]; for one of a known type there
//! is a function a kind; [`mesh_config`] reads the mesh's settings.

mod connection_pool;
mod destination_rule;
mod gateway;
mod hosts;
pub mod kubernetes;
mod labels;
mod mesh;
mod numbers;
mod object;
mod path;
mod peer_authentication;
mod problem;
mod reading;
mod regex;
mod server_tls;
mod service_entry;
mod sidecar;
mod virtual_service;
mod visibility;

pub use destination_rule::destination_rule;
pub use gateway::gateway;
pub use mesh::{mesh_config, mesh_problems, proxy_problems};
pub use object::parse_object;
pub use peer_authentication::peer_authentication;
pub use problem::{Code, Invalid, Parsed, Problem};
pub use reading::ParseContext;
pub use service_entry::service_entry;
pub use sidecar::sidecar;
pub use virtual_service::virtual_service;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
