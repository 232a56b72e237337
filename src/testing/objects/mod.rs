//! Objects of every kind of the catalog, made from its schema, and what must hold for each of them. Nothing here knows a kind by name,
//! so a kind that is added is tested.
//!
//! Everything is decided by bytes ([`Choices`]): proptest makes them up and shortens them, and the fuzzer in `fuzz/`, which includes
//! this folder, changes them. It names the library through the crate's root for that reason.

mod choices;
mod generate;
pub(crate) mod laws;
mod mend;
mod texts;

pub(crate) use choices::Choices;
pub(crate) use generate::{change, object};
pub(crate) use mend::mended;
