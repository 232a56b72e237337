//! Builders and fakes for tests.

pub(crate) mod bootstrap;
pub(crate) mod bytes;
mod cases;
mod citations;
pub(crate) mod envoy;
mod eventually;
pub(crate) mod fake_api;
pub(crate) mod http;
pub(crate) mod https;
mod leases;
pub(crate) mod mesh;
pub(crate) mod objects;
mod pki;
pub(crate) mod pod;
mod port;
pub(crate) mod random_mesh;
mod reviews;
mod runtime;
mod skip;
mod token;
mod webhook;

pub(crate) use cases::for_many;
pub(crate) use eventually::{eventually, eventually_seen};
pub(crate) use leases::make_lease;
pub(crate) use pki::TestCa;
pub(crate) use port::free_port;
pub(crate) use reviews::review_tokens;
pub(crate) use runtime::block_on;
pub(crate) use skip::skip;
pub(crate) use token::{Issuer, base64url};
pub(crate) use webhook::{ask_trusting, ask_webhook};
