//! Elections between replicas, on a fake API server and with a tenth of the usual times.

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};

use super::{Elector, Leadership, LeaseConfig, LeaseError, LeaseMaker, LeaseTiming, NotLeader};
use crate::runtime::{Shutdown, Trigger};
use crate::testing::{eventually, fake_api::FakeApi, make_lease};

struct Replica {
    leadership: Leadership,
    trigger: Trigger,
    task: JoinHandle<Result<(), LeaseError>>,
}

const TIMING: LeaseTiming = LeaseTiming {
    duration: Duration::from_millis(1200),
    term: Duration::from_millis(800),
    retry: Duration::from_millis(200),
    attempt: Duration::from_millis(300),
};

fn replica(api: &FakeApi, identity: &str) -> Replica {
    replica_where(api, identity, LeaseMaker::Candidates)
}

fn replica_where(api: &FakeApi, identity: &str, maker: LeaseMaker) -> Replica {
    let names = ["istio-system", "citadel", identity].map(str::to_owned);
    let [namespace, name, identity] = names;
    let (elector, leadership) = Elector::new(api.client(), LeaseConfig { namespace, name, identity, maker, timing: TIMING });
    let (trigger, shutdown) = Shutdown::channel();
    Replica { leadership, trigger, task: tokio::spawn(elector.run(shutdown)) }
}

fn holder(api: &FakeApi) -> Option<String> {
    api.get::<Lease>(Some("istio-system"), "citadel")?.spec?.holder_identity
}

/// Waits until both replicas have looked at the lease again.
async fn some_rounds(api: &FakeApi) {
    let before = api.calls().len();
    eventually("six more requests", || api.calls().len() >= before + 6).await;
}

#[tokio::test]
async fn a_killed_leader_is_followed_in_time_and_never_before_its_term_is_over() {
    let api = FakeApi::new();
    let mut first = replica(&api, "a");
    let term = first.leadership.acquired().await;
    let mut second = replica(&api, "b");
    some_rounds(&api).await;
    assert!(first.leadership.is_leader() && !second.leadership.is_leader());

    first.task.abort();
    let killed = Instant::now();
    second.leadership.acquired().await;
    assert_eq!(term.check(), Err(NotLeader));
    assert_eq!(holder(&api).as_deref(), Some("b"));
    // A tenth of 15 s; the default times sum up to 12 + 2 s.
    assert!(killed.elapsed() <= Duration::from_millis(1500), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn an_orderly_end_hands_over_at_the_next_look() {
    let api = FakeApi::new();
    let mut first = replica(&api, "a");
    first.leadership.acquired().await;
    let mut second = replica(&api, "b");
    some_rounds(&api).await;
    first.trigger.request();
    first.task.await.unwrap().unwrap();
    assert!(!first.leadership.is_leader());
    let released = Instant::now();
    second.leadership.acquired().await;
    assert!(released.elapsed() < TIMING.term, "{:?}", released.elapsed());
}

#[tokio::test]
async fn a_leader_without_an_api_server_stops_writing_before_another_may() {
    let api = FakeApi::new();
    let down = Arc::new(AtomicBool::new(false));
    let down_for_api = down.clone();
    api.answer(move |_| down_for_api.load(Ordering::SeqCst).then(|| (503, json!({"kind": "Status", "code": 503, "message": "down"}))));
    let mut only = replica(&api, "a");
    let term = only.leadership.acquired().await;
    let started = Instant::now();
    down.store(true, Ordering::SeqCst);
    term.lost().await;
    assert!(started.elapsed() < TIMING.duration, "{:?}", started.elapsed());
    assert_eq!(term.check(), Err(NotLeader));

    down.store(false, Ordering::SeqCst);
    let again = only.leadership.acquired().await;
    assert_eq!(again.check(), Ok(()));
    assert_eq!(term.check(), Err(NotLeader), "an old term is not revived by a new one");
}

#[tokio::test]
async fn a_stopped_leader_learns_from_the_clock_alone() {
    let api = FakeApi::new();
    let mut only = replica(&api, "a");
    let term = only.leadership.acquired().await;
    only.task.abort();
    assert_eq!(term.check(), Ok(()));
    eventually("the term is over", || term.check().is_err()).await;
    assert!(!only.leadership.is_leader());
    assert_eq!(holder(&api).as_deref(), Some("a"), "nobody told it");
}

#[tokio::test]
async fn a_lease_that_goes_is_not_brought_back_before_another_may_lead() {
    let api = FakeApi::new();
    let mut first = replica(&api, "a");
    let term = first.leadership.acquired().await;
    let mut second = replica(&api, "b");
    some_rounds(&api).await;
    let gone = Instant::now();
    api.delete::<Lease>(Some("istio-system"), "citadel");
    tokio::select! {
        _ = second.leadership.acquired() => {}
        () = async { term.lost().await; first.leadership.acquired().await; } => {}
    }
    assert_eq!(term.check(), Err(NotLeader));
    assert!(gone.elapsed() >= TIMING.term, "{:?}", gone.elapsed());
}

#[tokio::test]
async fn a_lease_that_comes_in_the_place_of_another_makes_no_second_leader() {
    let api = FakeApi::new();
    let mut first = replica(&api, "a");
    let term = first.leadership.acquired().await;
    let mut second = replica(&api, "b");
    some_rounds(&api).await;
    // One that can't look any more, and leads on until its term is over.
    first.task.abort();
    let put = Instant::now();
    api.delete::<Lease>(Some("istio-system"), "citadel");
    make_lease(&api, "citadel");
    second.leadership.acquired().await;
    assert_eq!(term.check(), Err(NotLeader));
    assert!(put.elapsed() >= TIMING.term, "{:?}", put.elapsed());
}

#[tokio::test]
async fn the_operators_lease_is_not_made_by_who_wants_it() {
    let api = FakeApi::new();
    let mut only = replica_where(&api, "a", LeaseMaker::Operator);
    some_rounds(&api).await;
    assert!(!only.leadership.is_leader() && holder(&api).is_none());

    make_lease(&api, "citadel");
    let term = only.leadership.acquired().await;
    assert_eq!(holder(&api).as_deref(), Some("a"));

    api.delete::<Lease>(Some("istio-system"), "citadel");
    term.lost().await;
    some_rounds(&api).await;
    assert!(api.get::<Lease>(Some("istio-system"), "citadel").is_none(), "it went with the mesh");
}
