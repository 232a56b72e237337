//! How long a stream lasts.
//!
//! A stream that never ends would outlive the certificate that its peer showed, and would stay with this replica although there are
//! others by now. Clients that connected together shall not come back together.

use std::time::Duration;

/// The least that a stream lasts, if its peer's certificate holds so long.
const LEAST: Duration = Duration::from_secs(30 * 60);
/// As much more at random.
const SPREAD: f64 = 0.1;
/// The part of its certificate's time for which a peer is believed: the rest, of which a half is at random, is to come back in.
const BELIEVED: f64 = 0.9;
/// However short a certificate holds: a peer that comes back with the same one must not come back at once.
const MINIMUM: Duration = Duration::from_millis(500);

/// How long a stream lasts whose peer's certificate holds for `left`, if that ever ends. `random` is in 0..1.
pub fn stream_age(left: Option<Duration>, random: f64) -> Duration {
    let own = LEAST.mul_f64(1.0 + SPREAD * random);
    let believed = left.map_or(own, |left| left.mul_f64(BELIEVED - (1.0 - BELIEVED) / 2.0 * random));
    own.min(believed).max(MINIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_after_half_an_hour_and_before_its_peers_certificate_and_not_with_the_others() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for random in [0.0, 0.5, 0.999] {
            let long = stream_age(Some(minutes(24 * 60)), random);
            assert!(long >= minutes(30) && long < minutes(33) && stream_age(None, random) == long, "{long:?}");
            let short = stream_age(Some(minutes(10)), random);
            assert!(short > minutes(8) && short <= minutes(9), "{short:?}");
        }
        assert!(stream_age(None, 0.9) - stream_age(None, 0.1) > minutes(2));
        assert!(stream_age(Some(minutes(10)), 0.1) - stream_age(Some(minutes(10)), 0.9) > Duration::from_secs(20));
        assert_eq!(stream_age(Some(Duration::ZERO), 0.5), MINIMUM);
    }
}
