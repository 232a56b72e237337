//! Tells authors which of their objects proxies do not take: the condition `Programmed` in the objects' status, and an event.
//!
//! Only what is wrong is written, and that it is right again; an object that proxies take costs no write. Each replica of pilot tells
//! what its own proxies refuse. They do not fight: one that finds the condition False for the object's present generation leaves it as
//! it is, whoever wrote it, and the condition becomes True only for a generation after the one that it was False for. What may pass while
//! the object stays as it is ([`is_passing`]) is taken back by whoever said it; and what was said before this process began, if nothing is
//! wrong any more once its proxies are back. A replica that knows better says it again.

use ferromesh_crds::status::{MeshCondition, MeshStatus};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Client, core::ApiResource};
use std::{collections::BTreeMap, convert::Infallible, future::pending, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    metrics::Metrics,
    problems::{Problem, Problems, ProblemsReader, is_passing},
};
use crate::config::clipped;
use crate::index::{PROGRAMMED, Standing, Standings, Verdicts, generation, generation_text, reference, stored_as};
use crate::model::ObjectRef;
use crate::runtime::{Backoff, Bucket, EventPublisher, News, Shutdown, StatusFailure, api_of, apply_status, this_second};

/// The field manager of the condition.
const MANAGER: &str = "ferromesh-pilot";
/// Looks at objects a token of time apart: five a second, after twenty at once.
const INTERVAL: Duration = Duration::from_millis(200);
const BURST: u32 = 20;
/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an object that was at fault must have been served before it is said to be right.
const PROBATION: Duration = Duration::from_secs(2);
/// How long what may pass must last before it is told: the Secret that an object names is looked for only once a proxy needs it.
const GRACE: Duration = Duration::from_secs(3);
/// How long proxies may take to come back to a pilot that has begun anew, before what its predecessor said is looked at.
const RETURN: Duration = Duration::from_secs(10);
/// The longest message, in characters.
const LENGTH: usize = 480;

/// Writes the conditions.
pub(super) struct StatusWriter {
    client: Client,
    /// Objects whose status says that they are not programmed.
    told: Verdicts,
    /// What is known of stored objects; none if the API server is asked.
    standings: Option<Standings>,
    reader: ProblemsReader,
    problems: BTreeMap<ObjectRef, Problem>,
    /// Objects to look at, and when.
    due: BTreeMap<ObjectRef, Instant>,
    events: EventPublisher,
    bucket: Bucket,
    backoff: Backoff,
    patience: Patience,
    /// What this process has seen to be said, of problems that it knows.
    said: BTreeMap<ObjectRef, Problem>,
    began: Timestamp,
    metrics: Metrics,
}

/// How long this and that may last.
#[derive(Clone, Copy, Debug)]
struct Patience {
    grace: Duration,
    probation: Duration,
    return_of_proxies: Duration,
}

// === impl StatusWriter ===

impl StatusWriter {
    /// A writer of these problems; `told` are the objects whose status speaks of an earlier one, and `pod` is who tells events.
    pub(super) fn new(client: Client, told: Verdicts, problems: &Problems, pod: &str, metrics: Metrics) -> Self {
        Self {
            events: EventPublisher::new(client.clone(), MANAGER, pod, "Program"),
            client,
            told,
            standings: None,
            reader: problems.follow(),
            problems: BTreeMap::new(),
            due: BTreeMap::new(),
            bucket: Bucket::new(INTERVAL, BURST, Instant::now()),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            patience: Patience { grace: GRACE, probation: PROBATION, return_of_proxies: RETURN },
            said: BTreeMap::new(),
            began: this_second(),
            metrics,
        }
    }

    /// One that waits a moment where others wait for seconds.
    #[cfg(test)]
    pub(super) fn hasty(self) -> Self {
        let moment = Duration::from_millis(200);
        Self { patience: Patience { grace: moment, probation: moment, return_of_proxies: 5 * moment }, ..self }
    }

    /// The same, for which a Secret is never missing for long enough.
    #[cfg(test)]
    pub(super) fn waiting_for_secrets(self) -> Self {
        let hasty = self.hasty();
        Self { patience: Patience { grace: Duration::from_secs(3600), ..hasty.patience }, ..hasty }
    }

    /// The same, which asks these in place of the API server, if there are any.
    pub(super) fn knowing(self, standings: Option<Standings>) -> Self {
        Self { standings, ..self }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let told = self.told.clone();
        loop {
            let next = self.due.iter().min_by_key(|(_, at)| **at).map(|(object, at)| (object.clone(), (*at).max(self.bucket.ready_at())));
            let turn = async {
                match &next {
                    Some((_, at)) => sleep_until(*at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                problems = self.reader.changed() => match problems {
                    Some(problems) => self.take_in(problems),
                    None => return Ok(()),
                },
                news = told.changed() => news.into_iter().for_each(|(object, verdict)| {
                    let after = match verdict {
                        Some(_) => self.patience.return_of_proxies,
                        // Somebody has taken back what is still the case.
                        None if self.problems.contains_key(&object) => self.patience.grace,
                        None => return,
                    };
                    self.look_at(object, after);
                }),
                () = turn => if let Some((object, _)) = &next {
                    self.settle(object.clone()).await;
                },
            }
        }
    }

    fn take_in(&mut self, problems: BTreeMap<ObjectRef, Problem>) {
        let old = std::mem::replace(&mut self.problems, problems);
        let new: Vec<_> =
            self.problems.iter().filter(|(object, problem)| old.get(*object) != Some(*problem)).map(|(it, _)| it.clone()).collect();
        let gone: Vec<_> = old.into_keys().filter(|object| !self.problems.contains_key(object)).collect();
        for object in new {
            let passing = self.problems.get(&object).is_some_and(|problem| is_passing(problem.reason));
            self.look_at(object, if passing { self.patience.grace } else { Duration::ZERO });
        }
        gone.into_iter().for_each(|object| self.look_at(object, self.patience.probation));
    }

    fn look_at(&mut self, object: ObjectRef, after: Duration) {
        // The status of a Service is Kubernetes' own.
        if stored_as(&object).is_some() {
            let at = Instant::now() + after;
            let due = self.due.entry(object).or_insert(at);
            *due = at.min(*due);
        }
    }

    /// Makes the status of an object say what is the case.
    async fn settle(&mut self, object: ObjectRef) {
        self.bucket.take(Instant::now());
        match self.write(&object).await {
            Ok(()) => {
                self.backoff.reset();
                self.due.remove(&object);
            }
            Err(StatusFailure::Gone) => {
                self.said.remove(&object);
                self.due.remove(&object);
            }
            Err(StatusFailure::Refused | StatusFailure::Down) => {
                self.metrics.failed_to_tell();
                self.due.insert(object, Instant::now() + self.backoff.next_delay());
            }
        }
    }

    async fn write(&mut self, object: &ObjectRef) -> Result<(), StatusFailure> {
        let Some(resource) = stored_as(object) else { return Err(StatusFailure::Gone) };
        let stored = match &self.standings {
            Some(standings) => standings.of(object).ok_or(StatusFailure::Gone)?,
            None => self.ask(&resource, object).await?,
        };
        let problem = self.problems.get(object);
        if let Some(condition) = condition(&stored, problem, self.said.get(object), self.began) {
            let status = MeshStatus { conditions: vec![condition], ..MeshStatus::default() };
            apply_status(&self.client, MANAGER, &resource, (object, &stored.uid), &status).await?;
            if let Some(problem) = problem {
                let news = News { warning: true, reason: problem.reason.to_owned(), note: problem.message.clone() };
                self.events.publish(&reference(object, &stored.uid), [news]).await;
            }
        }
        match problem {
            Some(problem) => _ = self.said.insert(object.clone(), problem.clone()),
            None => _ = self.said.remove(object),
        }
        Ok(())
    }

    /// What the API server has of an object.
    async fn ask(&self, resource: &ApiResource, object: &ObjectRef) -> Result<Standing, StatusFailure> {
        match timeout(PATIENCE, api_of(&self.client, resource, object).get_opt(&object.name)).await {
            Ok(Ok(Some(stored))) => Ok(Standing::of(&serde_json::to_value(stored).unwrap_or_default())),
            Ok(Ok(None)) => Err(StatusFailure::Gone),
            _ => Err(StatusFailure::Down),
        }
    }
}

/// The condition that an object gets; none if the one that it has will do. `own` is what this process, which began then, has said so far.
fn condition(stored: &Standing, problem: Option<&Problem>, own: Option<&Problem>, began: Timestamp) -> Option<MeshCondition> {
    let wanted = if problem.is_some() { "False" } else { "True" };
    let present = stored.generation.map(|it| generation_text(&generation(it)));
    let said = stored.programmed.as_ref();
    let is_false = said.is_some_and(|said| said.status.as_deref() == Some("False"));
    let is_present = said.is_some_and(|said| said.observed_generation.as_ref().map(generation_text) == present);
    // What a predecessor said of what may pass.
    let left_behind = said.is_some_and(|said| {
        is_passing(said.reason.as_deref().unwrap_or_default()) && said.last_transition_time.as_ref().is_some_and(|time| time.0 < began)
    });
    let needed = match problem {
        // Another replica may have said it in other words, this one's own are kept up to date.
        Some(problem) => !(is_false && is_present) || own.is_some_and(|own| own != problem),
        // Of what nobody complained about nothing is said.
        None => is_false && (!is_present || left_behind || own.is_some_and(|own| is_passing(own.reason))),
    };
    let (reason, message) = problem.map_or(("Programmed", "proxies take it"), |problem| (problem.reason, problem.message.as_str()));
    let since = said.filter(|said| said.status.as_deref() == Some(wanted)).and_then(|said| said.last_transition_time.clone());
    needed.then(|| MeshCondition {
        type_: PROGRAMMED.to_owned(),
        status: Some(wanted.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(clipped(message, LENGTH)),
        last_probe_time: None,
        last_transition_time: since.or(Some(Time(this_second()))),
        observed_generation: stored.generation.map(generation),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pilot::problems::{LEFT_OUT, NO_SECRET};
    use serde_json::{Value, json};

    fn decided(status: Option<(&str, i64)>, generation: i64, at_fault: bool) -> Option<(String, String)> {
        let condition = status.map(|(status, observed)| {
            json!({"type": "Programmed", "status": status, "observedGeneration": observed, "lastTransitionTime": "2026-01-01T00:00:00Z"})
        });
        let conditions: Vec<Value> = [Some(json!({"type": "Accepted", "status": "True"})), condition].into_iter().flatten().collect();
        let stored = Standing::of(&json!({"metadata": {"uid": "u", "generation": generation}, "status": {"conditions": conditions}}));
        let problem = Problem { reason: "RefusedByProxy", message: "no".to_owned() };
        let condition = super::condition(&stored, at_fault.then_some(&problem), None, Timestamp::UNIX_EPOCH)?;
        Some((condition.status.unwrap(), condition.reason.unwrap()))
    }

    #[test]
    fn only_what_is_new_is_written() {
        let (bad, good) = (Some(("False".to_owned(), "RefusedByProxy".to_owned())), Some(("True".to_owned(), "Programmed".to_owned())));
        assert_eq!(decided(None, 1, true), bad);
        assert_eq!(decided(Some(("True", 1)), 2, true), bad);
        assert_eq!(decided(Some(("False", 1)), 2, true), bad);
        assert_eq!(decided(Some(("False", 2)), 2, true), None, "another replica has said it");
        assert_eq!(decided(Some(("False", 1)), 2, false), good);
        assert_eq!(decided(Some(("False", 2)), 2, false), None, "another replica's proxies refuse it");
        assert_eq!(decided(Some(("True", 1)), 2, false), None);
        assert_eq!(decided(None, 1, false), None, "of what nobody complained about nothing is said");
    }

    /// What becomes of an object of generation 1 whose condition is False since the year 1970 for that reason, where nothing is wrong.
    fn mended(reason: &str, own: Option<&'static str>, began: Timestamp) -> Option<String> {
        let condition = json!({"type": "Programmed", "status": "False", "reason": reason, "observedGeneration": 1,
            "lastTransitionTime": "1970-01-01T00:01:00Z"});
        let stored = Standing::of(&json!({"metadata": {"uid": "u", "generation": 1}, "status": {"conditions": [condition]}}));
        let own = own.map(|reason| Problem { reason, message: String::new() });
        super::condition(&stored, None, own.as_ref(), began)?.status
    }

    #[test]
    fn what_may_pass_is_taken_back_for_the_same_generation_by_whoever_said_it_or_came_after_him() {
        let (before, after) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(61).unwrap());
        let right = Some("True".to_owned());
        assert_eq!(mended(NO_SECRET, Some(NO_SECRET), before), right);
        assert_eq!(mended(NO_SECRET, None, before), None, "another replica says so");
        assert_eq!(mended(NO_SECRET, None, after), right);
        assert_eq!(mended(LEFT_OUT, None, after), right);
        assert_eq!(mended("RefusedByProxy", Some("RefusedByProxy"), after), None, "it will be refused again");
    }

    #[test]
    fn a_message_of_ones_own_is_kept_up_to_date_and_anothers_is_left_alone() {
        let condition = json!({"type": "Programmed", "status": "False", "reason": NO_SECRET, "observedGeneration": 1});
        let stored = Standing::of(&json!({"metadata": {"uid": "u", "generation": 1}, "status": {"conditions": [condition]}}));
        let problem = |message: &str| Problem { reason: NO_SECRET, message: message.to_owned() };
        let told = |own: Option<&Problem>| super::condition(&stored, Some(&problem("a is missing")), own, Timestamp::UNIX_EPOCH);
        assert_eq!(told(Some(&problem("a and b are missing"))).unwrap().message.as_deref(), Some("a is missing"));
        assert_eq!(told(Some(&problem("a is missing"))), None);
        assert_eq!(told(None), None);
    }
}
