//! When the compiler itself fails: one resource stays as it was, and everything else goes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::model::ObjectRef;

/// A part of a configuration that is as it was before, or missing, because the compiler panicked over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The part, the same for all proxies and in all snapshots.
    pub part: Arc<str>,
    /// The panic's words.
    pub message: Arc<str>,
    /// The objects that had shaped the part until then, sorted.
    pub sources: Arc<[ObjectRef]>,
}

/// What `compute` returns; the words of its panic if it panics. Whatever it changes must be whole at each moment, or be thrown away.
pub(super) fn caught<T>(compute: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    catch_unwind(AssertUnwindSafe(compute)).map_err(|payload| words(&*payload).into())
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}
