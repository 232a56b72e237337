//! Leader election on a `coordination.k8s.io` Lease: at most one process of a role writes.
//!
//! Safety stands on two clocks that never need to agree. A leader holds its term for 8 s from the moment *before* it sent its last
//! successful renewal; a follower takes over 12 s after it *saw* the lease change. Between the two lie 4 s for a write that was in
//! flight. A leader that was stopped or cut off finds its term over at the next [`Term::check`], whether or not it was told. After a
//! crash a follower leads within 12 s and one look (2 s). A lease that somebody deletes counts as silent from
//! then on, also if another comes in its place.

mod decide;
mod elector;
mod leadership;
#[cfg(test)]
mod tests;

pub use elector::{Elector, LeaseConfig, LeaseError, LeaseMaker, LeaseTiming};
pub use leadership::{Leadership, NotLeader, Term};
