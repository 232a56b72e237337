//! `security.istio.io`: who may speak to whom, and how.

pub mod peer_authentication;

pub use peer_authentication::{PeerAuthentication, PeerAuthenticationSpec};
