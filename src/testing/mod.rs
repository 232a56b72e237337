//! Builders and fakes for tests.

mod eventually;
pub(crate) mod fake_api;
mod pki;
mod webhook;

pub(crate) use eventually::eventually;
pub(crate) use pki::TestCa;
pub(crate) use webhook::ask_webhook;
