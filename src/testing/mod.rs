//! Builders and fakes for tests.

mod eventually;
pub(crate) mod fake_api;
mod pki;

pub(crate) use eventually::eventually;
pub(crate) use pki::TestCa;
