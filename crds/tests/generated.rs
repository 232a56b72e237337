//! The committed CRDs are what the types say. `UPDATE=1` writes them.

#[path = "../examples/generate-crds/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::path::Path;

use ferromesh_crds::catalog;
use serde_json::Value;

/// Client-side apply keeps the whole object in an annotation, which may have 256 KiB.
const LARGEST: usize = 250_000;

#[test]
fn committed_files_are_what_the_types_say() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut stale = Vec::new();
    for file in files::files() {
        if update {
            file.write().expect("the file can be written");
        } else if file.current().expect("the file can be read").as_deref() != Some(&file.content) {
            stale.push(file.path.display().to_string());
        }
    }
    assert!(stale.is_empty(), "not what the types say: {stale:?}; `UPDATE=1 cargo test -p ferromesh-crds --test generated` writes them");
}

#[test]
fn folders_hold_no_other_files() {
    let made: BTreeSet<_> = files::files().into_iter().map(|file| file.path).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["crds/generated", "charts/ferromesh/templates/crds"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is there") {
            let path = Path::new(folder).join(entry.expect("the entry can be read").file_name());
            assert!(made.contains(&path), "{} is made by nothing", path.display());
        }
    }
}

#[test]
fn crds_are_small_enough_for_client_side_apply() {
    for kind in catalog::kinds() {
        let size = serde_json::to_vec(&kind.crd()).expect("a CRD is JSON").len();
        assert!(size <= LARGEST, "{} has {size} bytes, {LARGEST} are allowed", kind.crd_name());
    }
}

#[test]
fn one_version_is_stored_and_all_are_served() {
    for kind in catalog::kinds() {
        let versions = kind.crd().spec.versions;
        assert!(versions.iter().all(|version| version.served));
        let stored: Vec<_> = versions.iter().filter(|version| version.storage).map(|version| version.name.as_str()).collect();
        assert_eq!(stored, [kind.versions[0]], "{}", kind.name);
        let names: Vec<_> = versions.iter().map(|version| version.name.as_str()).collect();
        assert_eq!(names, kind.versions, "{}", kind.name);
    }
}

#[test]
fn catalog_names_what_the_types_name() {
    for kind in catalog::kinds() {
        let crd = kind.crd();
        assert_eq!(crd.metadata.name, Some(kind.crd_name()));
        assert_eq!(crd.spec.group, kind.group);
        assert_eq!((crd.spec.names.kind.as_str(), crd.spec.names.plural.as_str()), (kind.name, kind.plural));
        assert_eq!(crd.spec.scope == "Cluster", kind.cluster_scoped, "{}", kind.name);
    }
}

#[test]
fn schemas_are_structural() {
    for kind in catalog::kinds() {
        structural(kind.schema(), kind.name);
    }
}

#[test]
fn every_field_has_a_description() {
    for kind in catalog::kinds() {
        for part in ["spec", "status"] {
            described(&kind.schema()["properties"][part], &format!("{}.{part}", kind.name));
        }
    }
}

/// What the API server asks of a schema, and that what it requires exists.
fn structural(schema: &Value, path: &str) {
    let Some(fields) = schema.as_object() else { panic!("{path}: a schema must be an object") };
    for keyword in ["$ref", "$schema", "definitions", "anyOf", "allOf", "oneOf", "not", "const", "nullable", "uniqueItems"] {
        assert!(!fields.contains_key(keyword), "{path}: {keyword}");
    }
    let open = fields.contains_key("x-kubernetes-int-or-string") || fields.contains_key("x-kubernetes-preserve-unknown-fields");
    assert!(open || fields.get("type").is_some_and(Value::is_string), "{path}: no type");
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        assert!(schema["properties"].get(name).is_some(), "{path}: requires {name}, which it does not have");
    }
    if schema["type"] == "array" {
        assert!(fields.contains_key("items"), "{path}: no items");
    }
    if schema["x-kubernetes-list-type"] == "map" {
        for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            assert!(
                schema["items"]["required"].as_array().is_some_and(|required| required.contains(key)),
                "{path}: key {key} is not required"
            );
        }
    }
    children(schema, path, &mut structural);
}

fn described(schema: &Value, path: &str) {
    assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}: no description");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        described(property, &format!("{path}.{name}"));
    }
    for child in [&schema["items"], &schema["additionalProperties"]] {
        for (name, property) in child["properties"].as_object().into_iter().flatten() {
            described(property, &format!("{path}[].{name}"));
        }
    }
}

fn children(schema: &Value, path: &str, visit: &mut dyn FnMut(&Value, &str)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        visit(property, &format!("{path}.{name}"));
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(child) {
            visit(child, &format!("{path}[]"));
        }
    }
}
