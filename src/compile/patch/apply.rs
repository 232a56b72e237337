//! The ways in which a value comes into a message. What can't be applied is left out, and named.

use prost::{Message, Name};

use super::table::ReadPatch;
use crate::compile::scope::Scope;
use crate::model::PatchOperation;

/// Merges the value, if that is what the patch does.
pub(super) fn merge<M: Message + Name + Default>(scope: &Scope<'_>, target: &mut M, patch: &ReadPatch) {
    let Some((value, lists)) = patch.merges() else { return };
    match value.merged_into(target, lists) {
        Ok(merged) => {
            *target = merged;
            scope.shaped_by(&patch.origin);
        }
        Err(error) => scope.leave_out(patch.fault(&error)),
    }
}

/// The value as a message by itself.
pub(super) fn message<M: Message + Name + Default>(scope: &Scope<'_>, patch: &ReadPatch) -> Option<M> {
    match patch.value()?.to_message() {
        Ok(message) => Some(message),
        Err(error) => {
            scope.leave_out(patch.fault(&error));
            None
        }
    }
}

/// Whether an element comes to a list that has no order.
pub(super) fn adds(operation: &PatchOperation) -> bool {
    use PatchOperation::{Add, InsertAfter, InsertBefore, InsertFirst};
    matches!(operation, Add(..) | InsertFirst(_) | InsertBefore(_) | InsertAfter(_))
}
