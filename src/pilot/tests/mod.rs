//! The whole server, asked over real mutual TLS.

mod blame;
mod bootstrap;
mod client;
mod connections;
mod credentials;
mod envoy;
mod faults;
mod hosts;
mod hub;
mod on_api;
mod proxy;
mod quarantine;
mod server;
mod status;
mod storm;
mod streams;
mod world;
