//! The whole server, asked over real mutual TLS.

mod bad_days;
mod blame;
mod bootstrap;
mod client;
mod connections;
mod credentials;
mod envoy;
mod faults;
mod hosts;
mod hub;
mod load;
mod names;
mod on_api;
mod proxy;
mod quarantine;
mod relay;
mod server;
mod status;
mod storm;
mod streams;
mod world;
