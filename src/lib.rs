//! # ferromesh
//!
//! A service mesh for Kubernetes: Istio's architecture, in Rust, with upstream Envoy as its data plane. docs/architecture.md tells
//! the story; this file is the map.
//!
//! ```text
//!  kubectl apply ──▶ galley (refuses what pilot would not understand)
//!                       │ same parsers
//!  Kubernetes watches ──▶ config ──▶ index ══ Arc<Snapshot> ══▶ compile ──▶ pilot ──▶ Envoy ◀── agent ◀── citadel
//!    or galley, by mcp                                                                  ▲
//!  pod creation ──▶ injector (puts istio-init and istio-proxy into the pod) ────────────┘
//!  MeshInstall ──▶ operator (plans, applies and heals all of the above)
//! ```
//!
//! | row | answers | may name |
//! |---|---|---|
//! | [`model`] | what is a workload, a service, a route, a snapshot? | – |
//! | [`config`] | what does this API object mean, or what is wrong with it? | model |
//! | [`runtime`] | how does a process start, serve, lead, drain and end? | model |
//! | [`mcp`] | how does configuration travel from galley to pilot? | model, runtime |
//! | [`compile`] | what does this proxy get from this snapshot? | model |
//! | [`simulate`] | what becomes of this request, and why? | model, compile |
//! | [`analysis`] | what is doubtful about the mesh as a whole? | model, config |
//! | [`index`] | what does the cluster look like now? | model, config, runtime, mcp |
//! | [`pilot`] | who is connected, what did they acknowledge, what do they miss? | model, config, runtime, compile, index |
//! | [`citadel`] | who are you, and which certificate may you have? | model, runtime |
//! | [`galley`] | may this object be stored? | model, config, runtime, mcp, compile, analysis, index |
//! | [`injector`] | does this pod get a sidecar, and which? | model, config, runtime |
//! | [`operator`] | which objects make up the mesh, and are they there? | model, config, runtime, injector |
//! | [`agent`] | how does one pod's Envoy live? | model, runtime |
//! | [`cni`] | which pods of this node are redirected, so that no container of theirs has to? | model, runtime |
//! | [`cli`] | which answer does a person at a terminal get? | model, config, runtime, compile, simulate, analysis, index, galley, injector, operator, agent |
//! | [`app`] | which arguments make which process? | all above |
//!
//! `architecture` checks this table on every test run.

pub mod agent;
pub mod analysis;
pub mod app;
pub mod citadel;
pub mod cli;
pub mod cni;
pub mod compile;
pub mod config;
pub mod galley;
pub mod index;
pub mod injector;
pub mod mcp;
pub mod model;
pub mod operator;
pub mod pilot;
pub mod runtime;
pub mod simulate;

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod dataplane;
#[cfg(test)]
mod testing;
