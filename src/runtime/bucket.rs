//! How fast something may be done: at once up to a burst, then at a rate.

use std::time::Duration;
use tokio::time::Instant;

/// A bucket of tokens, of which each deed takes one.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the bucket would be full again.
    full: Instant,
}

// === impl Bucket ===

impl Bucket {
    /// A bucket that is full `now`, of `burst` tokens, into which a new one comes after each `interval`.
    pub fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, burst, full: now }
    }

    /// When there is a token to take; in the past if there is one.
    pub fn ready_at(&self) -> Instant {
        let least = self.full + self.interval;
        least.checked_sub(self.interval * self.burst).unwrap_or(least)
    }

    /// Takes a token.
    pub fn take(&mut self, now: Instant) {
        self.full = self.full.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_there_is_a_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Duration::from_millis(100), 5, start);
        let deeds_until = |bucket: &mut Bucket, mut now: Instant, end: Instant| {
            let mut deeds = 0;
            loop {
                now = now.max(bucket.ready_at());
                if now >= end {
                    return deeds;
                }
                bucket.take(now);
                deeds += 1;
            }
        };
        let end = start + Duration::from_secs(1);
        assert_eq!(deeds_until(&mut bucket, start, end), 14);
        let later = end + Duration::from_secs(60);
        assert_eq!(deeds_until(&mut bucket, later, later + Duration::from_millis(1)), 5, "a long rest fills it, and no more");
    }
}
