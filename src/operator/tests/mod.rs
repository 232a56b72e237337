//! The operator against an API server in memory.

mod cluster;
mod healing;
mod lifecycle;
mod proxies;
mod serving;
