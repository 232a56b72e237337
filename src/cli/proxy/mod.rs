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
pub(crate) mod tests;

pub(super) use config::ProxyConfigArgs;
pub(super) use pilot::{LABELS as PILOT_LABELS, PORT as PILOT_PORT, Pilots, Standing};
pub(super) use pod::{Forwarded, Named, PodName, Pods, REASON};
pub(super) use rejection::Rejection;
pub(super) use status::{ADMIN, ProxyStatusArgs};
pub(super) use table::Table;
