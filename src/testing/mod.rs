//! Builders and fakes for tests.

mod envoy;
mod eventually;
pub(crate) mod fake_api;
mod pki;
mod skip;

pub(crate) use envoy::envoy_for;
pub(crate) use eventually::eventually;
pub(crate) use pki::TestCa;
pub(crate) use skip::skip;
