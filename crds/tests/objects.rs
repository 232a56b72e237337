//! Objects that users have, and an object with every field: the schema takes them and the types lose nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ferromesh_crds::MeshInstall;
use ferromesh_crds::catalog::{self, Kind};
use ferromesh_crds::check;
use ferromesh_crds::networking::{
    DestinationRule, EnvoyFilter, Gateway, ProxyConfig, ServiceEntry, Sidecar, VirtualService, WorkloadEntry, WorkloadGroup,
};
use ferromesh_crds::security::PeerAuthentication;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

#[test]
fn samples_fit_schemas_and_types() {
    let checked = fitting_objects("samples");
    assert!(checked.is_none_or(|checked| checked > 20), "only {checked:?} objects of our kinds");
}

#[test]
fn objects_that_the_reference_accepts_fit_schemas_and_types() {
    let checked = fitting_objects("conformance/validation/accept");
    assert!(checked.is_none_or(|checked| checked > 50), "only {checked:?} objects of our kinds");
}

#[test]
fn every_field_of_the_schema_survives_the_types() {
    for kind in catalog::kinds() {
        let mut object = example(kind.schema());
        object["apiVersion"] = json!(format!("{}/{}", kind.group, kind.versions[0]));
        object["kind"] = json!(kind.name);
        object["metadata"] = json!({"name": "x"});
        assert_same(&object, &reread(kind, &object).expect("the types take what the schema takes"), kind.name);
    }
}

#[test]
fn object_without_a_field_set_is_written_without_fields() {
    for kind in catalog::kinds() {
        let object = json!({"apiVersion": format!("{}/{}", kind.group, kind.versions[0]), "kind": kind.name, "metadata": {}, "spec": {}});
        assert_eq!(reread(kind, &object).expect("an empty spec can be read"), object);
    }
}

/// Checks every object of our kinds below a folder of the reference, and says how many there were; `None`
/// where the reference is absent.
fn fitting_objects(folder: &str) -> Option<usize> {
    let root = env::var_os("FERROMESH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = root.join(folder);
    if !folder.is_dir() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "{} is absent", folder.display());
        eprintln!("skipped: {} is absent; FERROMESH_SHARED names another place", root.display());
        return None;
    }
    let mut checked = 0;
    for path in yaml_files(&folder) {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for object in documents {
            let (group, _) = object["apiVersion"].as_str().unwrap_or_default().split_once('/').unwrap_or_default();
            let Some(kind) = catalog::find(group, object["kind"].as_str().unwrap_or_default()) else { continue };
            let problems: Vec<String> = check::problems(kind.schema(), &object).iter().map(ToString::to_string).collect();
            assert!(problems.is_empty(), "{}: {problems:?}", path.display());
            let read = reread(kind, &object).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_same(&object["spec"], &read["spec"], &path.display().to_string());
            checked += 1;
        }
    }
    Some(checked)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The object after it went through its type.
fn reread(kind: &Kind, object: &Value) -> serde_json::Result<Value> {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> serde_json::Result<Value> {
        serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
    }
    match kind.name {
        "DestinationRule" => through::<DestinationRule>(object),
        "EnvoyFilter" => through::<EnvoyFilter>(object),
        "Gateway" => through::<Gateway>(object),
        "MeshInstall" => through::<MeshInstall>(object),
        "PeerAuthentication" => through::<PeerAuthentication>(object),
        "ProxyConfig" => through::<ProxyConfig>(object),
        "ServiceEntry" => through::<ServiceEntry>(object),
        "Sidecar" => through::<Sidecar>(object),
        "VirtualService" => through::<VirtualService>(object),
        "WorkloadEntry" => through::<WorkloadEntry>(object),
        "WorkloadGroup" => through::<WorkloadGroup>(object),
        other => panic!("no type for {other}"),
    }
}

/// An object in which every field of the schema is set.
fn example(schema: &Value) -> Value {
    if schema["x-kubernetes-int-or-string"] == true {
        return json!(1);
    }
    match schema["type"].as_str() {
        Some("string") if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
        Some("string") => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("x")),
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        Some("array") => json!([example(&schema["items"])]),
        Some("object") => {
            let named = schema["properties"].as_object().into_iter().flatten().map(|(name, property)| (name.clone(), example(property)));
            let others = schema["additionalProperties"].is_object().then(|| ("x".to_owned(), example(&schema["additionalProperties"])));
            Value::Object(named.chain(others).collect::<Map<_, _>>())
        }
        _ => json!("anything"),
    }
}

/// Compares without what makes no difference: empty lists and maps, and how a number or quantity is written.
fn assert_same(expected: &Value, found: &Value, what: &str) {
    let (expected, found) = (normal(expected), normal(found));
    assert!(expected == found, "{what}: expected {expected:#}, found {found:#}");
}

fn normal(value: &Value) -> Value {
    let empty = |value: &Value| value.is_null() || *value == json!({}) || *value == json!([]) || *value == json!("");
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), normal(value)));
            Value::Object(fields.filter(|(_, value)| !empty(value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Number(number) => json!(number.to_string().trim_end_matches(".0")),
        other => other.clone(),
    }
}
