//! Statuses and events, on a fake API server with a running index.

use ferromesh_crds::networking::{Gateway, VirtualService};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

use super::{StatusWriter, share::Reason};
use crate::galley::metrics::StatusMetrics;
use crate::index::{self, IndexConfig, Purpose};
use crate::runtime::{Elector, LeaseConfig, LeaseMaker, LeaseTiming, Readiness, Registry, Tasks};
use crate::testing::{eventually, fake_api::FakeApi};

/// A writer at work.
struct Writer {
    _tasks: Tasks,
    _directory: TempDir,
}

impl Writer {
    fn start(api: &FakeApi, pod: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = IndexConfig { mesh_config: directory.path().join("mesh"), purpose: Purpose::Review, ..IndexConfig::default() };
        let mut tasks = Tasks::new();
        let source = index::start(api.client(), config, &mut tasks, &Readiness::new(), &mut Registry::default());
        let timing = LeaseTiming { retry: Duration::from_millis(20), ..LeaseTiming::default() };
        let maker = LeaseMaker::Candidates;
        let lease = LeaseConfig { namespace: "istio-system".to_owned(), name: "l".to_owned(), identity: pod.to_owned(), maker, timing };
        let (elector, leadership) = Elector::new(api.client(), lease);
        tasks.spawn("lease", elector.run(tasks.shutdown()));
        let metrics = StatusMetrics::registered(&mut Registry::default());
        let writer = StatusWriter::new(api.client(), source.verdicts(), pod, metrics);
        tasks.spawn("status", writer.run(leadership, tasks.shutdown()));
        Self { _tasks: tasks, _directory: directory }
    }
}

fn virtual_service(name: &str, weights: &[u32]) -> VirtualService {
    let route: Vec<Value> = weights.iter().map(|weight| json!({"destination": {"host": "reviews"}, "weight": weight})).collect();
    let spec = json!({"hosts": [name], "http": [{"route": route}]});
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})).unwrap()
}

/// One with a rule that is never reached.
fn doubtful(name: &str) -> VirtualService {
    let mut object = virtual_service(name, &[100]);
    let shadowed = serde_json::from_value(json!({"match": [{"uri": {"prefix": "/"}}], "route": [{"destination": {"host": "reviews"}}]}));
    object.spec.http.push(shadowed.unwrap());
    object
}

fn stored(api: &FakeApi, name: &str) -> Value {
    serde_json::to_value(api.get::<VirtualService>(Some("shop"), name).unwrap()).unwrap()
}

/// `True`, `False` or nothing yet.
fn accepted(api: &FakeApi, name: &str) -> Option<String> {
    let status = &stored(api, name)["status"];
    let condition = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Accepted")?;
    Some(condition["status"].as_str()?.to_owned())
}

fn status_writes(api: &FakeApi) -> usize {
    api.calls().iter().filter(|call| call.target.is_status()).count()
}

#[tokio::test]
async fn authors_read_in_the_status_what_became_of_their_object() {
    let api = FakeApi::new();
    api.insert(&virtual_service("good", &[100]));
    api.insert(&virtual_service("bad", &[80, 10]));
    api.insert(&doubtful("doubtful"));
    let _writer = Writer::start(&api, "a");
    eventually("statuses", || ["good", "bad", "doubtful"].iter().all(|name| accepted(&api, name).is_some())).await;
    let mut told: Vec<Value> = ["good", "doubtful", "bad"].iter().map(|name| stored(&api, name)["status"].take()).collect();
    for status in &mut told {
        assert!(status["conditions"][0]["lastTransitionTime"].take().as_str().is_some_and(|time| time.len() == 20));
    }
    insta::assert_yaml_snapshot!(told, @r#"
    - conditions:
        - lastTransitionTime: ~
          message: understood by the mesh
          observedGeneration: 1
          reason: Accepted
          status: "True"
          type: Accepted
      observedGeneration: 1
    - conditions:
        - lastTransitionTime: ~
          message: "spec.http[1] never matches: spec.http[0] takes every path (IST0130)"
          observedGeneration: 1
          reason: AcceptedWithWarnings
          status: "True"
          type: Accepted
      observedGeneration: 1
      validationMessages:
        - documentationUrl: docs/codes.md
          level: WARNING
          type:
            code: IST0130
            name: UnreachableRule
    - conditions:
        - lastTransitionTime: ~
          message: "spec.http[0].route: weights add up to 90, not 100 (FM0112)"
          observedGeneration: 1
          reason: Invalid
          status: "False"
          type: Accepted
      observedGeneration: 1
      validationMessages:
        - documentationUrl: docs/codes.md
          level: ERROR
          type:
            code: FM0112
            name: BadWeights
    "#);
    eventually("an event", || !api.list::<Event>().is_empty()).await;
    let events = api.list::<Event>();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let about = event.regarding.clone().unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("VirtualService"), Some("bad")));
    assert_eq!(event.reason.as_deref(), Some("Invalid"));
    assert_eq!(event.note.as_deref(), Some("spec.http[0].route: weights add up to 90, not 100 (FM0112)"));
}

#[tokio::test]
async fn at_rest_nothing_is_written_and_a_new_leader_finds_all_said() {
    let api = FakeApi::new();
    api.insert(&virtual_service("good", &[100]));
    api.insert(&virtual_service("bad", &[80, 10]));
    let writer = Writer::start(&api, "a");
    eventually("statuses", || ["good", "bad"].iter().all(|name| accepted(&api, name).is_some())).await;
    eventually("the event", || api.list::<Event>().len() == 1).await;
    let versions = || ["good", "bad"].map(|name| stored(&api, name)["metadata"]["resourceVersion"].clone());
    let before = (versions(), status_writes(&api));
    drop(writer);
    let _next = Writer::start(&api, "a");
    api.break_watches();
    // The sign that it follows: another object gets its status.
    api.insert(&virtual_service("third", &[100]));
    eventually("a new object's status", || accepted(&api, "third").is_some()).await;
    assert_eq!((versions(), status_writes(&api)), (before.0, before.1 + 1));
    assert_eq!(api.list::<Event>().len(), 1, "the event is not repeated");
}

#[tokio::test]
async fn an_object_that_is_mended_is_accepted_and_its_messages_go() {
    let api = FakeApi::new();
    api.insert(&virtual_service("web", &[80, 10]));
    let _writer = Writer::start(&api, "a");
    eventually("refusal", || accepted(&api, "web").as_deref() == Some("False")).await;
    let objects: Api<VirtualService> = Api::namespaced(api.client(), "shop");
    let mended = json!({"spec": {"http": [{"route": [{"destination": {"host": "reviews"}}]}]}});
    objects.patch("web", &PatchParams::default(), &Patch::Merge(mended)).await.unwrap();
    eventually("acceptance", || accepted(&api, "web").as_deref() == Some("True")).await;
    let status = &stored(&api, "web")["status"];
    assert_eq!((&status["validationMessages"], &status["observedGeneration"]), (&Value::Null, &json!(2)));
}

#[tokio::test]
async fn what_others_say_in_a_status_stays_and_our_share_is_put_right() {
    let api = FakeApi::new();
    api.insert(&virtual_service("web", &[100]));
    let objects: Api<VirtualService> = Api::namespaced(api.client(), "shop");
    let theirs = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "status": {"conditions": [{"type": "Programmed", "status": "True"}], "validationMessages": [{"level": "INFO"}]}});
    objects.patch_status("web", &PatchParams::apply("pilot").force(), &Patch::Apply(theirs)).await.unwrap();
    let _writer = Writer::start(&api, "a");
    eventually("acceptance", || accepted(&api, "web").as_deref() == Some("True")).await;
    let condition = json!([{"type": "Programmed", "status": "True"}, {"type": "Accepted", "status": "False", "reason": "Meddled"}]);
    objects.patch_status("web", &PatchParams::default(), &Patch::Merge(json!({"status": {"conditions": condition}}))).await.unwrap();
    eventually("repair", || accepted(&api, "web").as_deref() == Some("True")).await;
    let status = stored(&api, "web")["status"].take();
    let types: Vec<&str> = status["conditions"].as_array().unwrap().iter().filter_map(|condition| condition["type"].as_str()).collect();
    assert_eq!((types, &status["validationMessages"]), (vec!["Programmed", "Accepted"], &json!([{"level": "INFO"}])));
}

#[tokio::test]
async fn a_thousand_objects_are_no_storm_and_those_with_something_to_say_come_before_good_ones() {
    let api = FakeApi::new();
    for number in 0..500 {
        api.insert(&virtual_service(&format!("good-{number:03}"), &[100]));
    }
    for number in 0..30 {
        api.insert(&virtual_service(&format!("late-{number:02}"), &[1, 2]));
        api.insert(&doubtful(&format!("later-{number:02}")));
    }
    let _writer = Writer::start(&api, "a");
    eventually("the burst", || status_writes(&api) >= 100).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let writes = status_writes(&api);
    assert!((100..=140).contains(&writes), "{writes} writes within a second");
    let calls = api.calls();
    let names: Vec<&str> = calls.iter().filter(|call| call.target.is_status()).filter_map(|call| call.target.name.as_deref()).collect();
    let last = |beginning: &str| names.iter().rposition(|name| name.starts_with(beginning)).unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with("late")).count(), 60, "{names:?}");
    assert!(last("late-") < last("later-") && last("later-") < last("good-"), "{names:?}");
}

#[tokio::test]
async fn who_has_just_applied_an_object_does_not_wait_for_all_others() {
    let api = FakeApi::new();
    for number in 0..500 {
        api.insert(&virtual_service(&format!("good-{number:03}"), &[100]));
    }
    let _writer = Writer::start(&api, "a");
    eventually("the burst", || status_writes(&api) >= 100).await;
    api.insert(&virtual_service("zebra", &[100]));
    eventually("its status", || accepted(&api, "zebra").is_some()).await;
    assert!(status_writes(&api) < 250, "{}", status_writes(&api));
}

#[tokio::test]
async fn while_the_api_server_refuses_writes_it_is_left_alone() {
    let api = FakeApi::new();
    let down = Arc::new(AtomicBool::new(true));
    let refused = down.clone();
    api.answer(move |call| {
        let status = json!({"kind": "Status", "status": "Failure", "message": "too many", "reason": "TooManyRequests", "code": 429});
        (call.target.is_status() && refused.load(Ordering::SeqCst)).then_some((429, status))
    });
    for number in 0..100 {
        api.insert(&virtual_service(&format!("web-{number}"), &[100]));
    }
    let _writer = Writer::start(&api, "a");
    eventually("an attempt", || status_writes(&api) > 0).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(status_writes(&api) <= 3, "{}", status_writes(&api));
    down.store(false, Ordering::SeqCst);
    eventually("a status", || accepted(&api, "web-7").is_some()).await;
}

#[tokio::test]
async fn of_two_replicas_one_writes() {
    let api = FakeApi::new();
    let _first = Writer::start(&api, "a");
    let _second = Writer::start(&api, "b");
    let gateway: Gateway = serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"a": "b"}, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a.example"]}]}}))
    .unwrap();
    api.insert(&gateway);
    let written = || api.get::<Gateway>(Some("shop"), "web").unwrap().status.is_some();
    eventually("a status", written).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status_writes(&api), 1);
    assert!(api.get::<Gateway>(Some("shop"), "web").unwrap().resource_version().is_some());
}

#[test]
fn every_reason_is_explained() {
    let page = include_str!("../../../docs/galley.md");
    for reason in Reason::ALL {
        assert!(page.contains(&format!("| `{}` |", reason.name())), "docs/galley.md has no row for {}", reason.name());
    }
}
