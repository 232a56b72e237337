//! What a candidate does next. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// A lease as this process saw it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    /// What there was.
    pub(super) look: Look,
    /// When this was first seen, by our own clock. The lease's own times are another machine's clock, and only shown.
    pub(super) since: Instant,
    /// Who held a lease that was deleted, and when that was first seen: he may lead on for a while.
    pub(super) deposed: Option<(String, Instant)>,
    /// How long a holder may stay silent.
    pub(super) duration: Duration,
}

/// What a look at the API server shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Look {
    /// The lease's uid; none if there is no lease.
    pub(super) uid: Option<String>,
    /// Its resourceVersion: a new one says that the holder lives.
    pub(super) version: String,
    /// Who holds it; none after a release.
    pub(super) holder: Option<String>,
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
    let over = |since: Instant| now.duration_since(since) >= seen.duration;
    let deposed = seen.deposed.as_ref().filter(|(_, since)| !over(*since));
    match seen.look.holder.as_deref().filter(|holder| !holder.is_empty()) {
        // If all is being removed, this process ends before that time is over.
        None if seen.look.uid.is_none() && !over(seen.since) => Step::Wait,
        None if seen.look.uid.is_none() => Step::Create,
        None if deposed.is_some_and(|(former, _)| former != me) => Step::Wait,
        None => Step::Take,
        Some(holder) if holder == me => Step::Renew,
        Some(_) if over(seen.since) => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// Merges a new look at the lease into the last: the clock of silence starts again only when something was written.
pub(super) fn observe(last: Option<&Observation>, look: Look, duration: Duration, now: Instant) -> Observation {
    let since = last.filter(|last| last.look == look).map_or(now, |last| last.since);
    let deposed = last.and_then(|last| {
        let holder = last.look.holder.clone().filter(|holder| last.look.uid != look.uid && !holder.is_empty());
        holder.map(|holder| (holder, now)).or_else(|| last.deposed.clone())
    });
    Observation { look, since, deposed, duration }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DURATION: Duration = Duration::from_secs(12);

    /// A lease of that uid, as `version` holds it.
    fn look(uid: &str, version: &str, holder: &str) -> Look {
        Look { uid: Some(uid.to_owned()), version: version.to_owned(), holder: Some(holder.to_owned()) }
    }

    fn held_by(holder: &str, since: Instant) -> Observation {
        observe(None, look("u", "1", holder), DURATION, since)
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
        let later = since + Duration::from_secs(gone_s);
        let gone = observe(Some(&held_by(holder, since)), Look::default(), DURATION, since);
        assert_eq!(step("a", Some(&observe(Some(&gone), Look::default(), DURATION, later)), later), expected);
    }

    #[rstest]
    #[case("a", false, 0, Step::Take)]
    #[case("b", false, 11, Step::Wait)]
    #[case("b", true, 11, Step::Wait)]
    #[case("b", true, 12, Step::Take)]
    #[case("", true, 0, Step::Take)]
    fn one_that_came_in_its_place_is_left_until_who_held_it_is_done(
        #[case] former: &str,
        #[case] gap_was_seen: bool,
        #[case] after_s: u64,
        #[case] expected: Step,
    ) {
        let since = Instant::now();
        let later = since + Duration::from_secs(after_s);
        let held = held_by(former, since);
        let before = if gap_was_seen { observe(Some(&held), Look::default(), DURATION, since) } else { held };
        let new = observe(Some(&before), look("new", "7", ""), DURATION, since);
        assert_eq!(step("a", Some(&observe(Some(&new), look("new", "7", ""), DURATION, later)), later), expected);
    }

    #[test]
    fn only_a_write_restarts_the_clock_of_silence() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let first = held_by("b", start);
        assert_eq!(observe(Some(&first), look("u", "1", "b"), DURATION, later).since, start);
        assert_eq!(observe(Some(&first), look("u", "2", "b"), DURATION, later).since, later);
    }
}
