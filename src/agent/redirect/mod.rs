//! Which of a pod's connections go to its proxy, and how the kernel is told.
//!
//! [`Capture`] says what is asked for, [`Capture::chains`] turns it into rules as values (pure), and [`install`] puts them into the
//! network namespace of the calling process: one nf_tables table, replaced as a whole in one transaction over netlink. Nothing outside
//! of that table is read or written, and no program but this one is needed.

mod capture;
mod encode;
mod rule;
#[cfg(test)]
mod tests;
mod transaction;

pub use capture::{Capture, CaptureError, Selection};
pub use rule::{Action, Chain, Hook, Match, Rule};
pub use transaction::{RedirectError, install};
