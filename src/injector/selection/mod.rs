//! Which pods does the API server ask an injector about?
//!
//! The selectors of a webhook configuration decide that, by labels of the namespace and of the pod. [`entries`] is the table from which the
//! operator writes ours, [`parse`] reads what a cluster really has, and [`selecting`] and [`explain`] answer for one pod as the API server
//! does. Pure: labels in, answers out. Source of the table: the reference's injection webhooks of release 1.31.

mod entries;
mod evaluate;
mod live;
#[cfg(test)]
mod tests;

pub use entries::{CONDITIONS, Condition, Entry, SYSTEM_NAMESPACES, SelectionSettings, entries};
pub use evaluate::{Explanation, exempt, explain, selecting};
pub use live::{Configuration, parse};

use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;
