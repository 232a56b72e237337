//! What each process of the mesh has, down to the smallest: how it logs, and how long it waits before it tries again. It stands on the
//! standard library and on nothing that runs beside its caller. Everything larger is in `ferromesh::runtime`, which passes this on.

mod backoff;
mod logs;

pub use backoff::{Backoff, random_fraction};
pub use logs::{LogError, LogFormat, init_logs};
