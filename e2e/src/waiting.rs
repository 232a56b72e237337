//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Looks again and again until `look` succeeds, and returns what it saw and how long that took.
///
/// # Errors
/// After `limit`, with the last thing that `look` complained of.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return Ok((seen, started.elapsed())),
            Err(error) if started.elapsed() > limit => return Err(error.context(format!("not within {} s: {what}", limit.as_secs()))),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
