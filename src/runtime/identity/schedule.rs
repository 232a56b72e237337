//! When to ask for the next certificate. Pure: time and chance are arguments.

use std::time::{Duration, SystemTime};

/// How much of its life a certificate serves before it is renewed, with chance in 0..1: 45 % to 55 %, so that the pods of a node
/// that started together do not renew together.
pub(super) fn renew_at(issued_at: SystemTime, not_after: SystemTime, chance: f64) -> SystemTime {
    let lifetime = not_after.duration_since(issued_at).unwrap_or_default();
    issued_at + lifetime.mul_f64(0.45 + chance / 10.0)
}

/// The longest wait between attempts. Without a certificate a pod can't start, so it asks often; with one it has half a lifetime for
/// some ten attempts.
pub(super) fn longest_wait(remaining: Option<Duration>) -> Duration {
    const WITHOUT: Duration = Duration::from_secs(5);
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(60);
    remaining.map_or(WITHOUT, |remaining| (remaining / 10).clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_long_certificate_is_renewed_around_noon() {
        let issued = SystemTime::UNIX_EPOCH;
        let hours = |n: f64| issued + Duration::from_secs_f64(n * 3600.0);
        assert_eq!(renew_at(issued, hours(24.0), 0.0), hours(10.8));
        assert_eq!(renew_at(issued, hours(24.0), 0.5), hours(12.0));
        // A clock that was set back: the certificate is over before it began, so it is renewed at once.
        assert_eq!(renew_at(hours(2.0), hours(1.0), 0.5), hours(2.0));
    }

    #[test]
    fn the_nearer_the_end_the_more_often_it_tries() {
        assert_eq!(longest_wait(None), Duration::from_secs(5));
        assert_eq!(longest_wait(Some(Duration::from_secs(43_200))), Duration::from_secs(60));
        assert_eq!(longest_wait(Some(Duration::from_secs(30))), Duration::from_secs(3));
        assert_eq!(longest_wait(Some(Duration::ZERO)), Duration::from_millis(200));
    }
}
