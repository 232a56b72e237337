//! `authentication.istio.io`: how callers prove who they are, as Istio 1.4 had it. PeerAuthentication and RequestAuthentication of
//! `security.istio.io` replace it.

pub mod mesh_policy;
pub mod method;
pub mod policy;

pub use mesh_policy::{MeshPolicy, MeshPolicySpec};
pub use policy::{Policy, PolicySpec};
