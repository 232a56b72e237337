//! The services together, over real HTTP on loopback.

mod forwarding;
mod page;
pub(crate) mod services;
