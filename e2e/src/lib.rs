//! What black-box tests on a real cluster stand on. The tests are in `tests/`; each is a scenario that [`run`] gives a mesh to.
//!
//! The cluster is the one of the kubectl context that `CONTEXT` names, else the local one (`make cluster-up`). One installation serves
//! all tests: the first that needs it makes it, and the last takes it away. A test works in namespaces of its own with random names
//! ([`Test::namespace`]), waits for conditions ([`within`]), and when it fails leaves the state of the cluster in `target/e2e/NAME`.
//!
//! `FERROMESH_E2E_REUSE=1` takes an installation that an earlier run has left as it is, which saves half a minute while one test is
//! written.

mod cluster;
mod command;
mod dump;
mod forward;
mod http;
mod mesh;
mod project;
mod scenario;
mod tls;
mod verdict;
mod waiting;

pub use cluster::Cluster;
pub use command::{Said, ferromesh_offline};
pub use forward::Forward;
pub use http::{Answer, Visitor};
pub use mesh::{CONTROL_PLANE, Ingress, MESH, Mesh, OPERATOR};
pub use project::{own, sample, shared, target_folder};
pub use scenario::{Skip, Test, run};
pub use tls::{SecureAnswer, SecureVisitor};
pub use verdict::{Layer, Verdict};
pub use waiting::within;
