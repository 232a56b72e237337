//! The whole server, asked over real mutual TLS.

mod client;
mod credentials;
mod envoy;
mod hub;
mod proxy;
mod server;
mod streams;
