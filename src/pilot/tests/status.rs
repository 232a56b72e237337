//! What authors read of it, on a fake API server.

use std::fmt::Debug;

use ferromesh_crds::networking::{EnvoyFilter, Gateway, VirtualService};
use http::Method;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Secret, events::v1::Event},
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    client::{Client, connect, names, subscription, web},
    credentials::{insert_gateway, router, tls_secret},
    on_api::{OnApi, hears, service},
};
use crate::compile::ResourceType;
use crate::index::{Standing, Standings};
use crate::model::ObjectRef;
use crate::testing::{TestCa, eventually, fake_api::FakeApi, https::Identity};

/// The condition `Programmed` of the VirtualService.
fn programmed(api: &FakeApi) -> Value {
    programmed_of::<VirtualService>(api, "web")
}

/// The same of another object.
fn programmed_of<K>(api: &FakeApi, name: &str) -> Value
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let status = serde_json::to_value(api.get::<K>(Some("shop"), name).unwrap()).unwrap()["status"].take();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Programmed").unwrap_or_default()
}

/// Whether an event of that reason says that.
fn told(api: &FakeApi, reason: &str, note: &str) -> bool {
    api.list::<Event>().iter().any(|event| event.reason.as_deref() == Some(reason) && event.note.as_deref() == Some(note))
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
    let message = "proxy web-1.shop refused vhds 80/web.shop.svc.cluster.local:80, which it shapes: 80: no such path; its last good form stays in force";
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

/// The gateway's proxy, which asks for its Secret.
async fn asks_for_secret(mesh: &OnApi) -> Client {
    let channel = connect(mesh.pilot.address, &mesh.pilot.ca, &web()).await;
    Client::open(channel, router("web-1"), subscription(ResourceType::Secret, &["kubernetes://a"])).await.unwrap()
}

const ABSENT: &str = "spec.servers[0].tls: Secret shop/a is not there, or pilot may not read it; \
    proxies keep what they had, and have no handshakes by it where they had nothing";

#[tokio::test]
async fn an_author_reads_that_a_secret_of_his_gateway_is_missing_or_broken_until_it_is_right() {
    let api = FakeApi::new();
    insert_gateway(&api);
    let mesh = OnApi::start(&api).await;
    let mut gateway = asks_for_secret(&mesh).await;
    assert_eq!(names(&gateway.takes().await), ["-kubernetes://a"]);
    eventually("the status", || programmed_of::<Gateway>(&api, "edge")["message"] == ABSENT).await;
    let condition = programmed_of::<Gateway>(&api, "edge");
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("SecretUnusable")));
    eventually("the event", || told(&api, "SecretUnusable", ABSENT)).await;

    let ca = TestCa::new("public");
    let (one, other) = (Identity::of(&ca, &["a.example"]), Identity::of(&ca, &["a.example"]));
    api.insert::<Secret>(&tls_secret("a", &Identity { chain: one.chain.clone(), key: other.key }));
    let broken = "Secret shop/a: data[tls.key]: is not the key of the certificate in tls.crt";
    let says = |text: &str| programmed_of::<Gateway>(&api, "edge")["message"].as_str().is_some_and(|message| message.contains(text));
    eventually("the status", || says(broken)).await;
    api.insert::<Secret>(&tls_secret("a", &one));
    assert_eq!(names(&gateway.takes().await), ["kubernetes://a"]);
    eventually("the status", || programmed_of::<Gateway>(&api, "edge")["status"] == "True").await;
    assert_eq!(programmed_of::<Gateway>(&api, "edge")["observedGeneration"], 1, "it has not changed itself");
    assert_eq!(status_writes(&api), 3);
}

/// The VirtualService becomes one that the sidecar refuses, and its author is told: by then every other author has been told who was to
/// be told before him.
async fn is_refused(api: &FakeApi, sidecar: &mut Client, uri: &str, generation: i64) {
    changes(api, uri).await;
    assert!(hears(sidecar, Some("80: no such path")).await.contains(uri));
    eventually("the status", || programmed(api)["observedGeneration"] == generation).await;
}

#[tokio::test]
async fn a_secret_that_is_found_while_it_is_waited_for_is_never_said_to_be_missing() {
    let api = FakeApi::new();
    insert_gateway(&api);
    api.insert(&service("web", 80));
    let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": routes("/good")});
    api.insert(&serde_json::from_value::<VirtualService>(object).unwrap());
    let mesh = OnApi::waiting_for_secrets(&api).await;
    let mut sidecar = mesh.asks_for_routes("80").await;
    assert!(hears(&mut sidecar, None).await.contains("/good"));
    let mut gateway = asks_for_secret(&mesh).await;
    assert_eq!(names(&gateway.takes().await), ["-kubernetes://a"], "it is known to be missing");
    is_refused(&api, &mut sidecar, "/bad", 2).await;
    assert_eq!((programmed_of::<Gateway>(&api, "edge"), status_writes(&api)), (Value::Null, 1));
    api.insert::<Secret>(&tls_secret("a", &Identity::of(&TestCa::new("public"), &["a.example"])));
    assert_eq!(names(&gateway.takes().await), ["kubernetes://a"]);
    is_refused(&api, &mut sidecar, "/worse", 3).await;
    assert_eq!((programmed_of::<Gateway>(&api, "edge"), status_writes(&api)), (Value::Null, 2));
}

#[tokio::test]
async fn what_a_pilot_said_before_it_ended_is_taken_back_by_its_successor_when_it_is_right() {
    let api = FakeApi::new();
    insert_gateway(&api);
    let said = json!({"conditions": [{"type": "Programmed", "status": "False", "reason": "SecretUnusable", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let objects: Api<Gateway> = Api::namespaced(api.client(), "shop");
    objects.patch_status("edge", &PatchParams::default(), &Patch::Merge(json!({"status": said}))).await.unwrap();
    api.insert::<Secret>(&tls_secret("a", &Identity::of(&TestCa::new("public"), &["a.example"])));
    let mesh = OnApi::start(&api).await;
    let _gateway = asks_for_secret(&mesh).await;
    eventually("the status", || programmed_of::<Gateway>(&api, "edge")["status"] == "True").await;
}

#[tokio::test]
async fn an_author_reads_which_patch_of_his_filter_is_left_out_until_it_can_be_applied() {
    let api = FakeApi::new();
    api.insert(&service("web", 80));
    let filter = |value: Value| {
        let patch =
            json!({"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"operation": "MERGE", "value": value}});
        let spec = json!({"configPatches": [patch]});
        serde_json::from_value::<EnvoyFilter>(json!({"metadata": {"name": "change", "namespace": "shop"}, "spec": spec})).unwrap()
    };
    api.insert(&filter(json!({"no_such_field": 1})));
    let mesh = OnApi::start(&api).await;
    let mut client = mesh.asks_for_routes("80").await;
    assert!(hears(&mut client, None).await.contains("web.shop"), "the rest goes on");
    eventually("the status", || programmed_of::<EnvoyFilter>(&api, "change")["status"] == "False").await;
    let condition = programmed_of::<EnvoyFilter>(&api, "change");
    let message = condition["message"].as_str().unwrap();
    assert!(message.starts_with("spec.configPatches[0]: ") && message.contains("no_such_field"), "{message}");
    assert!(message.ends_with("; that is left out, and all else of it holds"), "{message}");
    eventually("the event", || told(&api, "PartLeftOut", message)).await;

    let objects: Api<EnvoyFilter> = Api::namespaced(api.client(), "shop");
    let mended = serde_json::to_value(filter(json!({"name": "mended"}))).unwrap();
    objects.patch("change", &PatchParams::default(), &Patch::Merge(json!({"spec": mended["spec"]}))).await.unwrap();
    assert!(hears(&mut client, None).await.contains("mended"));
    eventually("the status", || programmed_of::<EnvoyFilter>(&api, "change")["status"] == "True").await;
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
    let mesh = OnApi::knowing(&api, standings.clone()).await;
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
