//! The fake is only worth what it has in common with the real server.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use serde_json::json;
use std::pin::pin;

use super::FakeApi;
use crate::runtime::list_all;

fn map(name: &str, data: &serde_json::Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": name}}, "data": data})).unwrap()
}

fn maps(api: &FakeApi) -> Api<ConfigMap> {
    Api::namespaced(api.client(), "shop")
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer of the server: {other}"),
    }
}

#[tokio::test]
async fn a_stale_write_is_a_conflict_and_an_equal_one_no_change() {
    let api = FakeApi::new();
    let maps = maps(&api);
    let first = maps.create(&PostParams::default(), &map("a", &json!({"k": "1"}))).await.unwrap();
    assert_eq!(code(&maps.create(&PostParams::default(), &map("a", &json!({}))).await.unwrap_err()), 409);
    let same = maps.replace("a", &PostParams::default(), &first).await.unwrap();
    assert_eq!(same.metadata.resource_version, first.metadata.resource_version);
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("k".to_owned(), "2".to_owned());
    maps.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_eq!(code(&maps.replace("a", &PostParams::default(), &first).await.unwrap_err()), 409);
    assert_eq!(code(&maps.get("b").await.unwrap_err()), 404);
}

#[tokio::test]
async fn apply_owns_removes_and_conflicts() {
    let api = FakeApi::new();
    let maps = maps(&api);
    let apply = async |manager: &str, data: serde_json::Value, force: bool| {
        let mut params = PatchParams::apply(manager);
        params.force = force;
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        maps.patch("a", &params, &Patch::Apply(&body)).await
    };
    apply("one", json!({"a": "1", "b": "1"}), false).await.unwrap();
    apply("two", json!({"c": "2"}), false).await.unwrap();
    assert_eq!(code(&apply("two", json!({"a": "2", "c": "2"}), false).await.unwrap_err()), 409);
    apply("two", json!({"a": "2", "c": "2"}), true).await.unwrap();
    // What "one" no longer sends goes, unless "two" owns it now.
    let left = apply("one", json!({"d": "1"}), false).await.unwrap().data.unwrap();
    assert_eq!(serde_json::to_value(left).unwrap(), json!({"a": "2", "c": "2", "d": "1"}));
}

#[tokio::test]
async fn merge_patch_removes_by_null_and_json_patch_works() {
    let api = FakeApi::new();
    let maps = maps(&api);
    api.insert(&map("a", &json!({"x": "1", "y": "1"})));
    let merged = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"x": null}}))).await.unwrap();
    assert_eq!(merged.data.unwrap().keys().collect::<Vec<_>>(), ["y"]);
    let patch: json_patch::Patch = serde_json::from_value(json!([{"op": "replace", "path": "/data/y", "value": "2"}])).unwrap();
    let patched = maps.patch("a", &PatchParams::default(), &Patch::<()>::Json(patch)).await.unwrap();
    assert_eq!(patched.data.unwrap()["y"], "2");
}

#[tokio::test]
async fn lists_select_by_label_and_field() {
    let api = FakeApi::new();
    for name in ["a", "b", "c"] {
        api.insert(&map(name, &json!({})));
    }
    let names = async |params: ListParams| {
        list_all(&maps(&api), &params).await.unwrap().into_iter().map(|map| map.metadata.name.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(ListParams::default().labels("app in (a,b)")).await, ["a", "b"]);
    assert_eq!(names(ListParams::default().labels("app!=a,app")).await, ["b", "c"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=c")).await, ["c"]);
}

#[tokio::test]
async fn a_finalizer_holds_an_object_and_dependents_go_with_their_owner() {
    let api = FakeApi::new();
    let owner: Namespace = serde_json::from_value(json!({"metadata": {"name": "owner", "finalizers": ["x/y"]}})).unwrap();
    api.insert(&owner);
    let uid = api.get::<Namespace>(None, "owner").unwrap().metadata.uid.unwrap();
    let mut dependent = map("a", &json!({}));
    dependent.metadata.owner_references =
        Some(vec![serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "name": "owner", "uid": uid})).unwrap()]);
    api.insert(&dependent);
    let namespaces: Api<Namespace> = Api::all(api.client());
    namespaces.delete("owner", &DeleteParams::default()).await.unwrap();
    assert!(api.get::<Namespace>(None, "owner").unwrap().metadata.deletion_timestamp.is_some());
    assert!(api.get::<ConfigMap>(Some("shop"), "a").is_some());
    namespaces.patch("owner", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert!(api.get::<Namespace>(None, "owner").is_none());
    assert!(api.get::<ConfigMap>(Some("shop"), "a").is_none());
}

#[tokio::test]
async fn a_watcher_sees_changes_and_survives_breaks_and_compaction() {
    let api = FakeApi::new();
    api.insert(&map("a", &json!({})));
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(api.client(), "shop");
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut events = pin!(watcher::watcher(metadata.clone(), config));
        let mut next = async || loop {
            match events.next().await.unwrap() {
                Ok(Event::Apply(object) | Event::InitApply(object)) => break format!("+{}", name(&object)),
                Ok(Event::Delete(object)) => break format!("-{}", name(&object)),
                _ => {}
            }
        };
        assert_eq!(next().await, "+a");
        api.insert(&map("b", &json!({})));
        assert_eq!(next().await, "+b");
        api.break_watches();
        api.delete::<ConfigMap>(Some("shop"), "b");
        assert_eq!(next().await, "-b");
        api.compact();
        assert_eq!(next().await, "+a");
    }
}

fn name(object: &PartialObjectMeta<ConfigMap>) -> String {
    object.metadata.name.clone().unwrap_or_default()
}
