//! WorkloadEntry.

use ferromesh_crds::networking::WorkloadEntry;

use super::endpoint::Addresses;
use super::path::SPEC;
use super::problem::{Code, Invalid, Parsed};
use super::reading::{ParseContext, Reading};
use crate::model;

/// Reads a WorkloadEntry.
///
/// # Errors
/// Everything that is wrong with it.
pub fn workload_entry(object: &WorkloadEntry, context: &ParseContext) -> Result<Parsed<model::WorkloadEntry>, Invalid> {
    let mut reading = Reading::new("WorkloadEntry", &object.metadata, context);
    reading.warn(&SPEC, Code::NotHonoured, "this mesh does not send traffic to WorkloadEntries");
    let value = model::WorkloadEntry {
        origin: reading.origin.clone(),
        endpoint: reading.endpoint(&SPEC, &object.spec, Addresses::Any, None),
        network: object.spec.network.as_deref().unwrap_or_default().into(),
        created: reading.created,
    };
    reading.finish(value)
}
