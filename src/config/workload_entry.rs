//! WorkloadEntry.

use ferromesh_crds::networking::WorkloadEntry;

use super::endpoint::{Addresses, network_label};
use super::path::SPEC;
use super::problem::{Invalid, Parsed};
use super::reading::{ParseContext, Reading};
use crate::model;

/// Reads a WorkloadEntry.
///
/// # Errors
/// Everything that is wrong with it.
pub fn workload_entry(object: &WorkloadEntry, context: &ParseContext) -> Result<Parsed<model::WorkloadEntry>, Invalid> {
    let mut reading = Reading::new("WorkloadEntry", &object.metadata, context);
    let mut endpoint = reading.endpoint(&SPEC, &object.spec, Addresses::Any, None);
    // As in the reference, labels of the object are labels of the workload, and weigh more than those in its spec.
    if let (Some(endpoint), Some(labels)) = (&mut endpoint, &object.metadata.labels) {
        endpoint.labels.extend(labels.clone());
        endpoint.labels.extend(network_label(&object.spec));
    }
    let value = model::WorkloadEntry { origin: reading.origin.clone(), endpoint, created: reading.created };
    reading.finish(value)
}
