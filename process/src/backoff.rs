//! Waiting longer after each failure, never in step with others.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// Delays that double from `first` to `cap`, each shortened at random by up to a half.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    /// Starts at `first` and never waits longer than `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// Counts one more failure and says how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_within(self.cap)
    }

    /// The same, with a lower cap for this one wait.
    pub fn next_delay_within(&mut self, cap: Duration) -> Duration {
        let delay = delay(self.first, self.cap.min(cap), self.failures, random_fraction());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The wait after `failures` earlier failures; `random` is in 0..1.
fn delay(first: Duration, cap: Duration, failures: u32, random: f64) -> Duration {
    let full = 2u32.checked_pow(failures).and_then(|factor| first.checked_mul(factor)).map_or(cap, |full| full.min(cap));
    full.mul_f64(1.0 - random / 2.0)
}

/// A number in 0..1, fit for spreading load and for nothing secret.
pub fn random_fraction() -> f64 {
    // Every RandomState is keyed anew, which is all the randomness that jitter needs.
    let bits = u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(30);

    #[test]
    fn delays_double_up_to_the_cap() {
        let full: Vec<_> = (0..9).map(|failures| delay(FIRST, CAP, failures, 0.0).as_millis()).collect();
        assert_eq!(full, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(delay(FIRST, CAP, u32::MAX, 0.0), CAP);
    }

    #[test]
    fn chance_shortens_a_delay_by_up_to_a_half() {
        assert_eq!(delay(FIRST, CAP, 1, 0.5), Duration::from_millis(750));
        let drawn: Vec<f64> = (0..64).map(|_| random_fraction()).collect();
        assert!(drawn.iter().all(|n| (0.0..1.0).contains(n)));
        assert!(drawn.windows(2).any(|pair| (pair[0] - pair[1]).abs() > f64::EPSILON));
    }
}
