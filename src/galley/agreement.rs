//! What the webhook lets pass, the index takes in, with the meaning that the webhook saw.

use axum::body::Body;
use ferromesh_crds::catalog;
use http_body_util::BodyExt;
use kube::core::DynamicObject;
use prost::Name;
use prost_types::Any;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::routes;
use crate::config::{ParseContext, parse_object};
use crate::index;
use crate::mcp::{self, Carried};
use crate::runtime::Registry;
use crate::testing::objects::{laws, mended, object};
use crate::testing::{block_on, for_many};

/// Whether galley allows the object.
fn allowed(kind: &catalog::Kind, object: &Value) -> bool {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": kind.group, "version": kind.versions[0], "kind": kind.name}, "operation": "CREATE",
        "namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"], "object": object,
    }});
    let request = http::Request::post("/validate").body(Body::from(review.to_string())).unwrap();
    let answer = block_on(async {
        let response = routes(ParseContext::default(), &mut Registry::default()).oneshot(request).await.unwrap();
        let read = response.status().is_success();
        read.then_some(response.into_body().collect().await.unwrap().to_bytes())
    });
    // A review that can't be read, for its names for example, allows nothing.
    let Some(answer) = answer else { return false };
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["response"]["allowed"].as_bool().unwrap()
}

#[test]
fn what_the_webhook_allows_the_index_takes_in() {
    for kind in catalog::kinds().iter().filter(|kind| laws::is_configuration(kind)) {
        for_many(|choices| {
            let mut object = object(kind, choices);
            if choices.below(2) == 1 {
                object = mended(kind, object, choices);
            }
            // Kubernetes itself refuses broken metadata; no watch brings it.
            let Ok(watched) = serde_json::from_value::<DynamicObject>(object.clone()) else {
                assert!(!allowed(kind, &object), "{object}");
                return;
            };
            let taken_in = index::taken_in(kind, watched, &ParseContext::default());
            let meant = parse_object(kind.group, kind.name, &object, &ParseContext::default()).ok().map(|parsed| parsed.value);
            assert_eq!(allowed(kind, &object), taken_in.is_some(), "{object}");
            assert_eq!(meant, taken_in, "{object}");
        });
    }
}

/// An object as it arrives that galley passes on.
fn carried(kind: &catalog::Kind, object: &DynamicObject) -> DynamicObject {
    let carried = Carried::of(&serde_json::to_value(object).unwrap());
    let packed = Any { type_url: mcp::Resource::type_url(), value: carried.body.to_vec() };
    serde_json::from_value(Carried::read(kind, &carried.name, Some(&packed)).unwrap()).unwrap()
}

#[test]
fn what_galley_passes_on_means_what_a_watch_would_have_brought() {
    for kind in catalog::kinds().iter().filter(|kind| laws::is_configuration(kind)) {
        for_many(|choices| {
            let object = object(kind, choices);
            let mut object = if choices.below(2) == 1 { mended(kind, object, choices) } else { object };
            // Of a status only what somebody reads is carried; Kubernetes itself refuses what is malformed in it.
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            let Ok(watched) = serde_json::from_value::<DynamicObject>(object) else { return };
            let arrived = carried(kind, &watched);
            let taken_in = |object: &DynamicObject| index::taken_in(kind, object.clone(), &ParseContext::default());
            assert_eq!(taken_in(&arrived), taken_in(&watched), "{arrived:?} is not {watched:?}");
        });
    }
}
