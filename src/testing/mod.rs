//! Builders and fakes for tests.

mod eventually;
pub(crate) mod fake_api;

pub(crate) use eventually::eventually;
