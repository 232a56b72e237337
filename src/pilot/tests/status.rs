//! What authors read of it, on a fake API server.

use ferromesh_crds::networking::VirtualService;
use http::Method;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::on_api::{OnApi, hears, service};
use crate::index::{Standing, Standings};
use crate::model::ObjectRef;
use crate::testing::{eventually, fake_api::FakeApi};

/// The condition `Programmed`.
fn programmed(api: &FakeApi) -> Value {
    let status = serde_json::to_value(api.get::<VirtualService>(Some("shop"), "web").unwrap()).unwrap()["status"].take();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Programmed").unwrap_or_default()
}

fn status_writes(api: &FakeApi) -> usize {
    api.calls().iter().filter(|call| call.target.is_status()).count()
}

/// Routes to that path.
fn routes(uri: &str) -> Value {
    json!({"hosts": ["web"], "http": [{"match": [{"uri": {"exact": uri}}], "route": [{"destination": {"host": "web"}}]}]})
}

async fn changes(api: &FakeApi, uri: &str) {
    let objects: Api<VirtualService> = Api::namespaced(api.client(), "shop");
    objects.patch("web", &PatchParams::default(), &Patch::Merge(json!({"spec": routes(uri)}))).await.unwrap();
}

#[tokio::test]
async fn an_author_reads_which_proxy_refuses_his_object_and_that_it_is_right_again() {
    let api = FakeApi::new();
    api.insert(&service("web", 80));
    let accepted = json!([{"type": "Accepted", "status": "True", "reason": "Accepted"}]);
    let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": routes("/good"), "status": {"conditions": accepted}});
    api.insert(&serde_json::from_value::<VirtualService>(object).unwrap());

    let mesh = OnApi::start(&api).await;
    let mut client = mesh.asks_for_routes("80").await;
    assert!(hears(&mut client, None).await.contains("/good"));
    changes(&api, "/bad").await;
    assert!(hears(&mut client, Some("80: no such path")).await.contains("/bad"));
    eventually("the status", || programmed(&api)["status"] == "False").await;
    let condition = programmed(&api);
    assert_eq!((&condition["reason"], &condition["observedGeneration"]), (&json!("RefusedByProxy"), &json!(2)));
    let message = "proxy web-1.shop refused rds 80, which it shapes: 80: no such path; its last good form stays in force";
    assert_eq!(condition["message"], message);
    eventually("the event", || api.list::<Event>().iter().any(|event| event.note.as_deref() == Some(message))).await;

    changes(&api, "/better").await;
    assert!(hears(&mut client, None).await.contains("/better"));
    eventually("the status", || programmed(&api)["status"] == "True").await;
    assert_eq!(programmed(&api)["observedGeneration"], 3);
    assert_eq!(status_writes(&api), 2, "once that it is wrong, once that it is right");
    let status = api.get::<VirtualService>(Some("shop"), "web").unwrap().status.unwrap();
    assert!(status.conditions.iter().any(|condition| condition.type_ == "Accepted"), "galley's share stays");
}

#[tokio::test]
async fn a_pilot_that_may_not_read_objects_writes_their_statuses_from_what_galley_told() {
    let api = FakeApi::new();
    api.insert(&service("web", 80));
    api.insert(
        &serde_json::from_value::<VirtualService>(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": routes("/good")}))
            .unwrap(),
    );
    let reads = |api: &FakeApi| {
        let calls = api.calls();
        calls
            .iter()
            .filter(|call| call.method == Method::GET && call.target.name.is_some() && call.target.plural == "virtualservices")
            .count()
    };
    let (standings, web) = (Standings::default(), ObjectRef::new("VirtualService", "shop", "web"));
    let mesh = OnApi::knowing(&api, Some(standings.clone())).await;
    let mut client = mesh.asks_for_routes("80").await;
    assert!(hears(&mut client, None).await.contains("/good"));
    changes(&api, "/bad").await;
    let stored = serde_json::to_value(api.get::<VirtualService>(Some("shop"), "web").unwrap()).unwrap();
    standings.note([(web, Some(Standing::of(&stored)))]);
    assert!(hears(&mut client, Some("80: no such path")).await.contains("/bad"));
    eventually("the status", || programmed(&api)["status"] == "False").await;
    assert_eq!(programmed(&api)["observedGeneration"], stored["metadata"]["generation"]);
    assert_eq!(reads(&api), 0, "it must not ask for what it has no right to");
}
