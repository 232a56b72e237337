//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Looks at `condition` again and again until it holds; panics with `what` after ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_seen(what, async || condition()).await;
}

/// The same for a condition that others have to be asked about.
pub(crate) async fn eventually_seen(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
