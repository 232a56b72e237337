//! `ferromesh proxy-config` and `ferromesh proxy-status`: what proxies are configured with, and how far each got. They ask Envoy's
//! admin port and pilot's debug pages through the API server's port-forward, or read what was saved of them.

mod bootstrap;
mod cluster;
mod config;
mod dump;
mod endpoint;
mod listener;
mod log;
mod pilot;
mod pod;
mod rejection;
mod route;
mod secret;
mod status;
mod table;
#[cfg(test)]
mod tests;

pub(super) use config::ProxyConfigArgs;
pub(super) use pilot::{Pilots, Standing};
pub(super) use pod::{Named, Pods};
pub(super) use rejection::Rejection;
pub(super) use status::ProxyStatusArgs;
pub(super) use table::Table;
