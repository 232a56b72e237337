use serde_json::{Value, json};

use super::{problems, unknown_fields, without_nulls};
use crate::catalog;

fn check(kind: &str, spec: Value) -> Vec<String> {
    let kind = catalog::find("networking.istio.io", kind).expect("a networking kind");
    let object =
        json!({"apiVersion": "networking.istio.io/v1", "kind": kind.name, "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": spec});
    problems(kind.schema(), &object).iter().map(ToString::to_string).collect()
}

#[test]
fn object_that_fits_has_no_problems() {
    let spec = json!({"hosts": ["a"], "http": [{"timeout": "3s", "match": [{"headers": {"end-user": {"exact": "jason"}}}]}]});
    assert_eq!(check("VirtualService", spec), Vec::<String>::new());
}

#[test]
fn unknown_field_is_named_with_its_path_and_the_nearest_known_one() {
    let spec = json!({"hosts": ["a"], "http": [{"timout": "3s"}, {"retries": {"per_try_timeout": "1s"}}]});
    assert_eq!(
        check("VirtualService", spec),
        [
            "spec.http[0].timout: unknown field \"timout\", did you mean \"timeout\"?",
            "spec.http[1].retries.per_try_timeout: unknown field \"per_try_timeout\", did you mean \"perTryTimeout\"?",
        ]
    );
}

#[test]
fn unknown_field_like_no_other_gets_no_suggestion() {
    assert_eq!(check("VirtualService", json!({"zebra": 1})), ["spec.zebra: unknown field \"zebra\""]);
}

#[test]
fn unknown_field_of_the_object_itself_is_named() {
    let kind = catalog::find("networking.istio.io", "Gateway").expect("a networking kind");
    assert_eq!(unknown_fields(kind.schema(), &json!({"kind": "Gateway", "specs": {}, "spec": {}})), ["specs"]);
}

#[test]
fn wrong_type_is_named_with_its_path() {
    let spec = json!({"hosts": "a", "http": [{"route": [{"destination": {"host": "b"}, "weight": "ten"}]}]});
    assert_eq!(
        check("VirtualService", spec),
        ["spec.hosts: must be of type array, not string", "spec.http[0].route[0].weight: must be of type integer, not string"]
    );
    assert_eq!(check("DestinationRule", json!({"host": true})), ["spec.host: must be of type string, not boolean: write it in quotes"]);
}

#[test]
fn map_keys_stand_in_brackets() {
    let spec = json!({"http": [{"match": [{"headers": {"end-user": {"exakt": "jason"}}}]}]});
    assert_eq!(
        check("VirtualService", spec),
        ["spec.http[0].match[0].headers[end-user].exakt: unknown field \"exakt\", did you mean \"exact\"?"]
    );
}

#[test]
fn missing_field_is_named() {
    assert_eq!(check("VirtualService", json!({"http": [{"route": [{}]}]})), ["spec.http[0].route[0].destination: required"]);
}

#[test]
fn null_means_absent() {
    assert_eq!(
        check("VirtualService", json!({"hosts": null, "http": [{"timeout": null, "route": [{"destination": null}]}]})),
        ["spec.http[0].route[0].destination: required"]
    );
}

#[test]
fn values_outside_an_enum_or_a_range_are_named() {
    let spec = json!({"host": "a", "trafficPolicy": {"tls": {"mode": "SIMPEL"}, "portLevelSettings": [{"port": {"number": 70000}}]}});
    assert_eq!(
        check("DestinationRule", spec),
        [
            "spec.trafficPolicy.portLevelSettings[0].port.number: 70000 must be from 1 to 65535",
            "spec.trafficPolicy.tls.mode: \"SIMPEL\" is not one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL, did you mean \"SIMPLE\"?",
        ]
    );
}

#[test]
fn too_many_members_of_a_one_of_are_named() {
    let spec = json!({"http": [{"match": [{"uri": {"exact": "/a", "prefix": "/b"}}]}]});
    assert_eq!(check("VirtualService", spec), ["spec.http[0].match[0].uri: has 2 fields, must have at most 1"]);
}

#[test]
fn contents_that_the_schema_leaves_open_are_not_looked_at() {
    let kind = catalog::find("install.ferromesh.dev", "MeshInstall").expect("the installation's kind");
    let object = json!({"spec": {"values": {"global": {"any": [1]}}, "meshConfig": {"x": {"y": 1}}}});
    assert_eq!(unknown_fields(kind.schema(), &object), Vec::<String>::new());
}

#[test]
fn hostile_object_gets_no_endless_answer() {
    let fields = (0..100_000).map(|number| (format!("hots{number}"), json!(1))).chain([("x".repeat(1_000_000), json!(1))]);
    assert_eq!(check("VirtualService", Value::Object(fields.collect())).len(), super::MOST);
}

#[test]
fn nulls_are_dropped_where_the_schema_says_what_stands_there() {
    let schema = json!({"properties": {
        "listed": {"type": "string"},
        "map": {"additionalProperties": {"type": "string"}},
        "list": {"items": {"properties": {"a": {}}}},
        "open": {"x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {}}},
    }});
    let object = json!({"listed": null, "map": {"a": null}, "list": [null, {"a": null}], "open": {"a": null, "b": null, "c": {"a": null}}});
    let expected = json!({"map": {}, "list": [null, {}], "open": {"b": null, "c": {"a": null}}});
    assert_eq!(without_nulls(&schema, &object), expected);
}
