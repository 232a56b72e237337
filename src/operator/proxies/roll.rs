//! Which workloads are restarted next. Pure: how they stand and the limits in, steps out.

use std::{collections::BTreeMap, fmt};

use super::workload::WorkloadKey;
use crate::operator::settings::Rolling;

/// How one workload stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rollout {
    /// Every pod is of the newest template and answers.
    pub(super) complete: bool,
    /// It has no pods, and should have none.
    pub(super) idle: bool,
    /// Why a change of its template would not replace its pods without a person.
    pub(super) by_hand: Option<String>,
    /// Why its change gets no further, once Kubernetes has given up on it.
    pub(super) stuck: Option<String>,
    /// So many pods more than usual there are while it is restarted.
    pub(super) surge: i64,
    /// So many of its pods may be missing, by the budgets that hold for them; none if none does, or if none will be missing.
    pub(super) allowed: Option<i64>,
    /// What it was restarted for, if that has not been seen to help yet.
    pub(super) rolled: Option<String>,
    /// When its template was last restarted, in seconds since the epoch.
    pub(super) restarted: Option<i64>,
}

/// Why a workload should be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// What is written on it: `missed`, or the image that its sidecars should have.
    pub(super) value: String,
    /// When the youngest pod with that cause was made, in seconds since the epoch.
    pub(super) youngest: i64,
    /// Whether a pod that was missed stands beside one of the same template that was not: then it was an accident, and a restart may help.
    pub(super) mixed: bool,
    /// Whether new pods would get a sidecar.
    pub(super) answered: bool,
}

/// A workload that has a cause, or had one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) cause: Option<Cause>,
    pub(super) rollout: Rollout,
}

/// Everything that decides.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) workloads: BTreeMap<WorkloadKey, Candidate>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Restart it, and write down for what, and whether for a second time.
    Restart(WorkloadKey, String),
    /// The restart helped: what was written down goes.
    Settle(WorkloadKey),
    /// It is left alone, and a person should know why.
    Leave(WorkloadKey, Left),
    /// Its restart gets no further; nothing else is restarted.
    Stuck(WorkloadKey, String),
}

/// Why a workload is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It was restarted, and its new pods are as the old ones were.
    NotHelped,
    /// Its strategy waits for a person.
    ByHand(String),
    /// It alone would take more pods than there may be.
    TooLarge(i64),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHelped => f.write_str("it was restarted, and its new pods are as the old ones were (FM3002)"),
            Self::ByHand(reason) => f.write_str(reason),
            Self::TooLarge(pods) => write!(f, "it would take {pods} pods more than usual at once, above maxSurgePods"),
        }
    }
}

/// What stands behind a cause on a workload that was restarted for it a second time.
const AGAIN: &str = " (again)";

/// How often a workload was restarted for a cause, by what is written on it.
fn times(rolled: Option<&str>, cause: &str) -> usize {
    match rolled.and_then(|rolled| rolled.strip_prefix(cause)) {
        Some("") => 1,
        Some(AGAIN) => 2,
        _ => 0,
    }
}

/// Decides, for workloads in the order of their names.
pub(super) fn next(world: &World, limits: &Rolling) -> Vec<Step> {
    let mut steps = Vec::new();
    let under_way = |candidate: &&Candidate| candidate.rollout.rolled.is_some() && !candidate.rollout.complete;
    let stuck = world.workloads.iter().find_map(|(key, it)| {
        let reason = Some(it).filter(under_way)?.rollout.stuck.clone()?;
        Some(Step::Stuck(key.clone(), reason))
    });
    let mut count = world.workloads.values().filter(under_way).count();
    let mut surge: i64 = world.workloads.values().filter(under_way).map(|it| it.rollout.surge).sum();
    let may_start = stuck.is_none();
    steps.extend(stuck);
    for (key, Candidate { cause, rollout }) in &world.workloads {
        let Some(cause) = cause else {
            if rollout.rolled.is_some() && rollout.complete {
                steps.push(Step::Settle(key.clone()));
            }
            continue;
        };
        let times = times(rollout.rolled.as_deref(), &cause.value);
        if times > 0 {
            // Old pods may still be on their way out; only what was made since then shows that it did not help. Where it helped in part,
            // the injector was away for a moment, or always is for one of the API servers: then the next time is as this one.
            let shows = rollout.complete && rollout.restarted.is_none_or(|at| cause.youngest >= at);
            if !(shows && cause.mixed && times == 1) {
                if shows {
                    steps.push(Step::Leave(key.clone(), Left::NotHelped));
                }
                continue;
            }
        }
        let left = match &rollout.by_hand {
            Some(reason) => Some(Left::ByHand(reason.clone())),
            None if rollout.surge > limits.surge => Some(Left::TooLarge(rollout.surge)),
            None => None,
        };
        if let Some(left) = left {
            steps.push(Step::Leave(key.clone(), left));
            continue;
        }
        // Whoever changes it himself, or mends it, is not disturbed; a budget that is used up, neither.
        let free = cause.answered && rollout.complete && !rollout.idle && rollout.allowed.is_none_or(|allowed| allowed >= 1);
        if may_start && free && count < limits.workloads && surge + rollout.surge <= limits.surge {
            count += 1;
            surge += rollout.surge;
            let again = if times > 0 { AGAIN } else { "" };
            steps.push(Step::Restart(key.clone(), format!("{}{again}", cause.value)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::proxies::workload::Kind;

    const LIMITS: Rolling = Rolling { workloads: 1, surge: 10, missed: true, outdated: true };

    fn key(name: &str) -> WorkloadKey {
        WorkloadKey { namespace: "shop".to_owned(), kind: Kind::Deployment, name: name.to_owned() }
    }

    fn missed() -> Candidate {
        let rollout = Rollout { complete: true, surge: 1, ..Rollout::default() };
        Candidate { cause: Some(Cause { value: "missed".to_owned(), youngest: 100, mixed: false, answered: true }), rollout }
    }

    fn with(change: impl FnOnce(&mut Candidate)) -> Candidate {
        let mut candidate = missed();
        change(&mut candidate);
        candidate
    }

    fn steps_of(workloads: &[(&str, Candidate)], limits: &Rolling) -> Vec<Step> {
        let workloads = workloads.iter().map(|(name, candidate)| (key(name), candidate.clone())).collect();
        next(&World { workloads }, limits)
    }

    fn restart(name: &str) -> Step {
        Step::Restart(key(name), "missed".to_owned())
    }

    /// One that was restarted at second 200 and is not through yet.
    fn under_way() -> Candidate {
        with(|it| {
            it.rollout =
                Rollout { complete: false, rolled: Some("missed".to_owned()), restarted: Some(200), surge: 1, ..Rollout::default() }
        })
    }

    #[test]
    fn one_at_a_time_or_as_many_as_the_limit_says() {
        let two = [("a", missed()), ("b", missed())];
        assert_eq!(steps_of(&two, &LIMITS), [restart("a")]);
        assert_eq!(steps_of(&two, &Rolling { workloads: 5, ..LIMITS }), [restart("a"), restart("b")]);
        assert_eq!(steps_of(&[("a", under_way()), ("b", missed())], &LIMITS), []);
        assert_eq!(steps_of(&[("a", under_way()), ("b", missed())], &Rolling { workloads: 2, ..LIMITS }), [restart("b")]);
    }

    #[test]
    fn who_is_through_makes_room_for_the_next_and_is_settled() {
        let through = with(|it| {
            it.cause = None;
            it.rollout.rolled = Some("missed".to_owned());
        });
        assert_eq!(steps_of(&[("a", through), ("b", missed())], &LIMITS), [Step::Settle(key("a")), restart("b")]);
    }

    #[test]
    fn a_restart_that_did_not_help_is_never_repeated() {
        let rolled = |youngest: i64| {
            with(|it| {
                it.rollout.rolled = Some("missed".to_owned());
                it.rollout.restarted = Some(200);
                it.cause.as_mut().unwrap().youngest = youngest;
            })
        };
        assert_eq!(steps_of(&[("a", rolled(200))], &LIMITS), [Step::Leave(key("a"), Left::NotHelped)]);
        assert_eq!(steps_of(&[("a", rolled(199))], &LIMITS), [], "an old pod that is about to go tells nothing");
        let accident = |youngest: i64| {
            let mut candidate = rolled(youngest);
            candidate.cause.as_mut().unwrap().mixed = true;
            candidate
        };
        let once_more = Step::Restart(key("a"), "missed (again)".to_owned());
        assert_eq!(steps_of(&[("a", accident(200))], &LIMITS), [once_more], "some of its new pods have what they should have");
        assert_eq!(steps_of(&[("a", accident(199))], &LIMITS), [], "old and new pods differ in any case");
        let another = with(|it| it.rollout.rolled = Some("hub/proxy:1".to_owned()));
        assert_eq!(steps_of(&[("a", another)], &LIMITS), [restart("a")], "another cause is another restart");
    }

    #[test]
    fn an_accident_that_repeats_itself_is_none() {
        let mut candidate = missed();
        candidate.cause.as_mut().unwrap().mixed = true;
        let mut restarts = 0;
        let told = loop {
            // Each time some of the new pods are missed.
            match steps_of(&[("a", candidate.clone())], &LIMITS).remove(0) {
                Step::Restart(_, value) => candidate.rollout.rolled = Some(value),
                told => break told,
            }
            restarts += 1;
            assert!(restarts < 10, "for ever");
            candidate.rollout.restarted = Some(200 * restarts);
            let mut under_way = candidate.clone();
            under_way.rollout.complete = false;
            assert_eq!(steps_of(&[("a", under_way)], &LIMITS), [], "one is under way");
            candidate.cause.as_mut().unwrap().youngest = 200 * restarts + 1;
        };
        assert_eq!((restarts, told), (2, Step::Leave(key("a"), Left::NotHelped)));
        candidate.cause = None;
        assert_eq!(steps_of(&[("a", candidate)], &LIMITS), [Step::Settle(key("a"))], "and is forgotten once it is well");
    }

    #[test]
    fn budgets_idle_unfinished_and_unanswered_workloads_wait() {
        for waiting in [with(|it| it.rollout.allowed = Some(0)), with(|it| it.rollout.complete = false), with(|it| it.rollout.idle = true)]
        {
            assert_eq!(steps_of(&[("a", waiting.clone())], &LIMITS), [], "{waiting:?}");
            assert_eq!(steps_of(&[("a", waiting), ("b", missed())], &LIMITS), [restart("b")], "and hold nobody up");
        }
        assert_eq!(steps_of(&[("a", with(|it| it.rollout.allowed = Some(1)))], &LIMITS), [restart("a")]);
        let unanswered = with(|it| it.cause.as_mut().unwrap().answered = false);
        assert_eq!(
            steps_of(&[("a", unanswered), ("b", missed())], &LIMITS),
            [restart("b")],
            "new pods would stand still, or be missed again"
        );
    }

    #[test]
    fn a_restart_that_is_stuck_stops_all_others() {
        let mut stuck = under_way();
        stuck.rollout.stuck = Some("exceeded".to_owned());
        let limits = Rolling { workloads: 5, ..LIMITS };
        assert_eq!(steps_of(&[("a", missed()), ("b", stuck)], &limits), [Step::Stuck(key("b"), "exceeded".to_owned())]);
        let somebody_elses = with(|it| {
            it.rollout.complete = false;
            it.rollout.stuck = Some("exceeded".to_owned());
        });
        assert_eq!(steps_of(&[("a", somebody_elses), ("b", missed())], &limits), [restart("b")], "that is no restart of ours");
    }

    #[test]
    fn pods_beyond_the_usual_are_bounded_over_all_workloads() {
        let large = |surge: i64| with(|it| it.rollout.surge = surge);
        let limits = Rolling { workloads: 5, surge: 4, ..LIMITS };
        assert_eq!(steps_of(&[("a", large(3)), ("b", large(3)), ("c", large(1))], &limits), [restart("a"), restart("c")]);
        assert_eq!(steps_of(&[("a", large(5)), ("b", large(1))], &limits), [Step::Leave(key("a"), Left::TooLarge(5)), restart("b")]);
    }

    #[test]
    fn what_waits_for_a_person_is_told_of() {
        let paused = with(|it| it.rollout.by_hand = Some("it is paused".to_owned()));
        assert_eq!(steps_of(&[("a", paused)], &LIMITS), [Step::Leave(key("a"), Left::ByHand("it is paused".to_owned()))]);
    }
}
