//! The reconciler against an API server in memory.

mod cluster;
mod healing;
mod lifecycle;
