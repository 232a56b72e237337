//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long a condition may take. Some come about after seconds by design, and a machine may be busy with many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at `condition` again and again until it holds; panics with `what` after [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_seen(what, async || condition()).await;
}

/// The same for a condition that others have to be asked about.
pub(crate) async fn eventually_seen(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
