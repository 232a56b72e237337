//! Asynchronous work in tests of rows that know no runtime.

use std::future::Future;

/// Does the work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
