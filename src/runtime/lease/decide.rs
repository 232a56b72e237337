//! What a candidate does next. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// A lease as this process saw it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    /// Who holds it; none after a release.
    pub(super) holder: Option<String>,
    /// The object's resourceVersion, of which a new one says that the holder lives; none once it is gone.
    pub(super) version: Option<String>,
    /// When this version was first seen, by our own clock. The lease's own times are another machine's clock, and only shown.
    pub(super) since: Instant,
    /// How long the holder may stay silent.
    pub(super) duration: Duration,
}

/// The next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is no lease, and nobody may still hold it: make it.
    Create,
    /// Nobody holds it, or the holder has been silent for too long.
    Take,
    /// It is ours.
    Renew,
    /// Somebody else leads, or may do so.
    Wait,
}

/// Decides from what was seen last.
pub(super) fn step(me: &str, seen: Option<&Observation>, now: Instant) -> Step {
    let Some(seen) = seen else { return Step::Create };
    let silent = now.duration_since(seen.since) >= seen.duration;
    if seen.version.is_none() {
        // Who held it may write until its term is over; and if all is being removed, this process ends before that.
        return if silent { Step::Create } else { Step::Wait };
    }
    match seen.holder.as_deref() {
        None | Some("") => Step::Take,
        Some(holder) if holder == me => Step::Renew,
        Some(_) if silent => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// Merges a new look at the lease into the last: the clock of silence starts again only when something was written.
pub(super) fn observe(
    last: Option<&Observation>,
    holder: Option<String>,
    version: Option<String>,
    duration: Duration,
    now: Instant,
) -> Observation {
    let since = last.filter(|last| last.version == version).map_or(now, |last| last.since);
    Observation { holder, version, since, duration }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DURATION: Duration = Duration::from_secs(12);

    fn version(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn held_by(holder: &str, since: Instant) -> Observation {
        Observation { holder: Some(holder.to_owned()), version: version("1"), since, duration: DURATION }
    }

    #[rstest]
    #[case("a", 0, Step::Renew)]
    #[case("a", 60, Step::Renew)]
    #[case("", 0, Step::Take)]
    #[case("b", 0, Step::Wait)]
    #[case("b", 11, Step::Wait)]
    #[case("b", 12, Step::Take)]
    fn a_candidate_waits_for_a_living_holder_only(#[case] holder: &str, #[case] silent_s: u64, #[case] expected: Step) {
        let since = Instant::now();
        assert_eq!(step("a", Some(&held_by(holder, since)), since + Duration::from_secs(silent_s)), expected);
    }

    #[test]
    fn a_missing_lease_is_made() {
        assert_eq!(step("a", None, Instant::now()), Step::Create);
    }

    #[rstest]
    #[case("a", 0, Step::Wait)]
    #[case("b", 11, Step::Wait)]
    #[case("b", 12, Step::Create)]
    #[case("", 11, Step::Wait)]
    fn one_that_has_gone_is_made_once_nobody_may_still_lead(#[case] holder: &str, #[case] gone_s: u64, #[case] expected: Step) {
        let since = Instant::now();
        let held = held_by(holder, since - Duration::from_secs(60));
        let gone = observe(Some(&held), held.holder.clone(), None, DURATION, since);
        let still = observe(Some(&gone), gone.holder.clone(), None, DURATION, since + Duration::from_secs(gone_s));
        assert_eq!(step("a", Some(&still), since + Duration::from_secs(gone_s)), expected);
    }

    #[test]
    fn only_a_write_restarts_the_clock_of_silence() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let first = held_by("b", start);
        assert_eq!(observe(Some(&first), first.holder.clone(), version("1"), DURATION, later).since, start);
        assert_eq!(observe(Some(&first), first.holder.clone(), version("2"), DURATION, later).since, later);
    }
}
