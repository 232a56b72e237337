//! Which of a pod's connections go to its proxy, and how the kernel is told.
//!
//! [`Capture`] says what is asked for, [`Capture::rules`] turns it into [`Rules`] as values (pure), and [`apply`] puts them into the network
//! namespace of the calling thread ([`apply_in`]: into another one). With nf_tables that is one table, replaced as a whole in one
//! transaction over netlink; beside it, an address of the loopback interface, and for transparent interception one rule and one route a
//! family. Nothing else is read or written, and no program but this one is needed. Where the kernel has no nf_tables, the same rules go to
//! `iptables-restore` and `ip6tables-restore`, into chains of our own. [`verify`] looks whether any of this has been done.

mod apply;
mod capture;
mod encode;
mod iptables;
mod plan;
mod routes;
mod rule;
#[cfg(test)]
mod tests;
mod transaction;
mod verify;

pub use apply::{Backend, RedirectError, apply, apply_in};
pub use capture::{Capture, CaptureError, DnsCapture, Selection};
pub use iptables::{Family, restore_input};
pub use rule::{Action, Chain, Hook, Match, Rule, Rules, Stage};
pub use verify::{VerifyError, verify};
