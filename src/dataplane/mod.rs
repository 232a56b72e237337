//! What clients and servers see: users' YAML, read, joined and compiled as pilot does it, in a real Envoy on loopback.
//!
//! A test says what is in the cluster, as YAML, starts the Envoy of one of its pods, and asks it. One file a topic, one test for each
//! thing that a user can write. `make test-dataplane` runs them alone.
//!
//! ```text
//! YAML ──▶ config ──▶ index (StillCluster) ──▶ compile ──▶ Envoy's static configuration ──▶ Envoy ◀── requests
//! ```
//!
//! Nothing is redirected on loopback: a test binds the one listener that redirected traffic would reach. `capture` alone has network
//! namespaces, in which the pod's own rules redirect it.

mod capture;
mod client_certificates;
mod cluster;
mod control_plane;
mod egress;
mod endings;
mod extensions;
mod filters;
mod gateways;
mod grpc;
mod http_versions;
mod limits;
mod localities;
mod matching;
mod networks;
mod originated_tls;
mod patches;
mod requests;
mod samples;
mod scene;
mod services;
mod sidecar;
mod splits;
mod start;
mod tcp;
mod tokens;
