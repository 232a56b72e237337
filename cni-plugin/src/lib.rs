//! `istio-cni`, the last plugin in the chain of a node's network configuration. The container runtime runs it for each pod whose network is
//! made; it asks the nodes' part of the mesh (`ferromeshd cni`) over a Unix socket to redirect the pod, and passes on what the plugins before
//! it have made. It decides nothing, so that it never has to be newer than what decides.
//!
//! While nobody listens at the socket it lets every pod through: a node must start pods, those of its network among them, whatever becomes of
//! the mesh. A meshed pod that comes through so does not run without its redirect rules: its `istio-validation` sees to that.

mod ask;
mod plugin;

pub use plugin::{Said, answer};
