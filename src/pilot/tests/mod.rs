//! The whole server, asked over real mutual TLS.

mod client;
mod server;
mod streams;
