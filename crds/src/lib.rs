//! The mesh's API: one file a kind, the CRDs made from the types, and a check of objects against them.
//!
//! Structs follow the JSON of their objects field by field: an `Option` for each member of a one-of, nothing
//! flattened, and nothing required when an object is read. What a user must write is in the schema, so
//! [`check`] and the API server can name the path of what is wrong.

pub mod authentication;
pub mod catalog;
pub mod check;
pub mod extensions;
pub mod install;
pub mod networking;
mod object;
pub mod rbac;
mod schema;
pub mod security;
pub mod selector;
pub mod status;
pub mod telemetry;

pub use install::{MeshInstall, MeshInstallSpec};
