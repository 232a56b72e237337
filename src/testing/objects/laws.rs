//! What must hold for every object and every review, whoever made it. What breaks a law panics with the object.

use axum::body::Body;
use ferromesh_crds::catalog::{self, Kind};
use ferromesh_crds::check;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeSet};
use tower::ServiceExt;

use crate::config::{Code, Invalid, ParseContext, Parsed, parse_object};
use crate::galley;
use crate::model::ConfigObject;
use crate::runtime::Registry;

/// The most problems that are told of one object; the rest are counted.
const MOST_PROBLEMS: usize = 100;
/// The longest line with all problems of an object, in characters.
const LONGEST_LINE: usize = 20_000;
/// The longest answer to a review, in bytes.
const LONGEST_ANSWER: usize = 64_000;

/// Whether a kind is configuration, which has a reader: the installation is the operator's to read.
pub(crate) fn is_configuration(kind: &Kind) -> bool {
    match parse(kind, &json!({})) {
        Ok(_) => true,
        Err(invalid) => invalid.errors.iter().all(|problem| problem.code != Code::UnknownKind),
    }
}

/// The text of an object, as it comes from files and the network. What is no JSON is nobody's object.
pub(crate) fn hold_for_text(kind: &Kind, text: &[u8]) {
    if let Ok(object) = serde_json::from_slice(text) {
        hold(kind, &object);
    }
}

/// One object. Returns whether it is accepted.
pub(crate) fn hold(kind: &Kind, object: &Value) -> bool {
    let written = written_and_read_again(kind, object);
    if !is_configuration(kind) {
        return check::problems(kind.schema(), object).is_empty() && written.is_some();
    }
    let verdict = parse(kind, object);
    little_is_said(&verdict, object);
    schema_and_reader_agree(kind, object, &verdict);
    assert_eq!(verdict, parse(kind, &with_nulls(kind.schema(), object)), "null is not the same as absent in {object}");
    if let Ok(parsed) = &verdict {
        // The status decides nothing, so it may be anything.
        let bare = without_status(object);
        let written = written_and_read_again(kind, &bare).unwrap_or_else(|| panic!("accepted, but its types don't read it: {object}"));
        assert_eq!(Ok(parsed), parse(kind, &written).as_ref(), "what is written of it means something else: {object}");
    }
    verdict.is_ok()
}

/// The body of a review, as it comes from the network: there is a short answer, and it is for this review.
pub(crate) fn review_is_answered(body: &[u8]) {
    let request = http::Request::post("/validate").body(Body::from(body.to_vec())).expect("a request can be made of any body");
    let (status, answer) = answer(request);
    assert!(answer.len() < LONGEST_ANSWER, "an answer of {} bytes", answer.len());
    match status {
        StatusCode::OK => {
            let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
            // What a review does not need may be malformed: it is skipped.
            if let Ok(asked) = serde_json::from_slice::<Value>(body) {
                assert_eq!(answer["response"]["uid"], asked["request"]["uid"]);
            }
            assert!(answer["response"]["allowed"].is_boolean(), "{answer}");
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {}
        other => panic!("answered with {other}"),
    }
}

/// Galley's answer.
fn answer(request: http::Request<Body>) -> (StatusCode, Vec<u8>) {
    thread_local! {
        static GALLEY: RefCell<(tokio::runtime::Runtime, axum::Router)> = RefCell::new((
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
            galley::routes(ParseContext::default(), &mut Registry::default()),
        ));
    }
    GALLEY.with_borrow(|(runtime, routes)| {
        runtime.block_on(async {
            let response = routes.clone().oneshot(request).await.expect("a router never fails");
            let status = response.status();
            let body = response.into_body().collect().await.expect("the answer is in memory");
            (status, body.to_bytes().to_vec())
        })
    })
}

fn parse(kind: &Kind, object: &Value) -> Result<Parsed<ConfigObject>, Invalid> {
    parse_object(kind.group, kind.name, object, &ParseContext::default())
}

/// What the kind's types write of the object, which they read and write alike; none where they don't read the object.
fn written_and_read_again(kind: &Kind, object: &Value) -> Option<Value> {
    let written = kind.normalised(object).ok()?;
    let again = kind.normalised(&written).unwrap_or_else(|error| panic!("what is written of it can't be read ({error}): {object}"));
    assert_eq!(written, again, "what is written of it is read as something else: {object}");
    Some(written)
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

fn little_is_said(verdict: &Result<Parsed<ConfigObject>, Invalid>, object: &Value) {
    match verdict {
        Ok(parsed) => assert!(parsed.warnings.len() <= MOST_PROBLEMS, "{} warnings of {object}", parsed.warnings.len()),
        Err(invalid) => {
            assert!(!invalid.errors.is_empty(), "refused for nothing: {object}");
            assert!(invalid.errors.len() <= MOST_PROBLEMS, "{} errors of {object}", invalid.errors.len());
            let line = invalid.to_string();
            assert!(line.chars().count() <= LONGEST_LINE, "too much is said of {object}: {line}");
        }
    }
}

/// What the schema does not allow is refused, and what the reader does not understand for its types the schema does not allow.
fn schema_and_reader_agree(kind: &Kind, object: &Value, verdict: &Result<Parsed<ConfigObject>, Invalid>) {
    let found = check::problems(kind.schema(), object);
    let Err(invalid) = verdict else {
        assert!(found.is_empty(), "the schema does not allow what is accepted ({found:?}): {object}");
        return;
    };
    let paths: BTreeSet<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    for problem in &invalid.errors {
        match problem.code {
            // Long paths are clipped, so they can't be looked up; and what is free in the schema may still mean something to the reader.
            Code::WrongType | Code::UnknownField if !problem.path.ends_with('…') && !is_free(kind.schema(), &problem.path) => {
                assert!(paths.contains(problem.path.as_str()), "the schema allows what is refused ({problem}): {object}");
            }
            Code::Unreadable if problem.path.is_empty() => {
                assert!(!envelope_is_sound(kind, object), "the schema allows what can't be read ({problem}): {object}")
            }
            _ => {}
        }
    }
}

/// Whether a path leads into a part of the object of which the schema says nothing.
fn is_free(schema: &Value, path: &str) -> bool {
    let mut here = schema;
    for field in path.split('.') {
        let name = field.split('[').next().unwrap_or(field);
        here = &here["properties"][name];
        for _ in field.matches('[') {
            here = if here["items"].is_null() { &here["additionalProperties"] } else { &here["items"] };
        }
        if here["x-kubernetes-preserve-unknown-fields"] == true {
            return true;
        }
    }
    false
}

/// Whether Kubernetes would look at the object at all.
fn envelope_is_sound(kind: &Kind, object: &Value) -> bool {
    let envelope = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": object["metadata"], "spec": {}});
    object.is_object() && kind.normalised(&envelope).is_ok()
}

/// The object with null for every field that is absent and that the schema lists.
fn with_nulls(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let part = |name: &String| schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), with_nulls(part(name), value))).collect();
            for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
                fields.entry(name.clone()).or_insert(Value::Null);
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(|item| with_nulls(&schema["items"], item)).collect(),
        other => other.clone(),
    }
}

/// What a folder of `fuzz/corpus` is for: a kind, by the name of its CRD, or reviews.
pub(crate) enum Target {
    Kind(&'static Kind),
    Review,
}

// === impl Target ===

impl Target {
    /// The target of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name == "review" {
            return Some(Self::Review);
        }
        catalog::kinds().iter().find(|kind| kind.crd_name() == name).map(Self::Kind)
    }

    /// The names of all targets.
    pub(crate) fn names() -> Vec<String> {
        catalog::kinds().iter().map(Kind::crd_name).chain(["review".to_owned()]).collect()
    }

    /// What must hold for a text of this target.
    pub(crate) fn holds_for(&self, text: &[u8]) {
        match self {
            Self::Kind(kind) => hold_for_text(kind, text),
            Self::Review => review_is_answered(text),
        }
    }
}
