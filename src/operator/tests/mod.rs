//! The operator against an API server in memory.

mod cluster;
mod convergence;
mod foreign;
mod healing;
mod lifecycle;
mod moves;
mod nodes;
mod planning;
mod proxies;
mod revisions;
mod serving;
mod trust;
mod upgrade;
