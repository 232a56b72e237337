//! The operator against an API server in memory.

mod cluster;
mod convergence;
mod healing;
mod lifecycle;
mod planning;
mod proxies;
mod revisions;
mod serving;
