//! What holds for every object of every kind: those that are made from the schemas, those of users, and those that the fuzzer kept.

use std::{cell::Cell, env, fs, path::Path};

use ferromesh_crds::catalog::{self, Kind};
use serde_json::Value;

use crate::testing::for_many;
use crate::testing::objects::{change, laws, mended, object};

/// How many of 100 objects, made and mended, are to be accepted: fewer, and the laws of accepted objects say little.
const ACCEPTED: usize = 10;

#[test]
fn laws_hold_for_objects_made_from_the_schemas() {
    for kind in catalog::kinds() {
        for_many(|choices| _ = laws::hold(kind, &object(kind, choices)));
    }
}

/// What the fuzzer does, without its sense of what is new.
#[test]
fn laws_hold_for_objects_that_are_changed_bit_by_bit() {
    for kind in catalog::kinds() {
        for_many(|choices| {
            let mut object = Value::Null;
            for _ in 0..4 {
                change(kind, &mut object, choices);
                laws::hold(kind, &object);
            }
        });
    }
}

#[test]
fn laws_hold_for_objects_that_are_mended_and_many_are_accepted() {
    let mut too_few = Vec::new();
    for kind in catalog::kinds().iter().filter(|kind| laws::is_configuration(kind)) {
        let (accepted, all) = (Cell::new(0), Cell::new(0));
        for_many(|choices| {
            let raw = object(kind, choices);
            all.set(all.get() + 1);
            accepted.set(accepted.get() + usize::from(laws::hold(kind, &mended(kind, raw, choices))));
        });
        println!("{}: {} of {} accepted", kind.name, accepted.get(), all.get());
        if accepted.get() * 100 < all.get() * ACCEPTED {
            too_few.push(format!("{}: {} of {}", kind.name, accepted.get(), all.get()));
        }
    }
    assert!(too_few.is_empty(), "too few objects are accepted: help src/testing/objects/texts.rs with values. {too_few:?}");
}

#[test]
fn laws_hold_for_objects_of_users_and_of_the_reference() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = env::var_os("FERROMESH_SHARED").map_or_else(|| project.join("../shared"), Into::into);
    let mut judged = 0;
    for folder in [project.join("samples"), project.join("conformance"), shared.join("samples"), shared.join("conformance/validation")] {
        for path in files(&folder).iter().filter(|path| path.ends_with(".yaml")) {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap();
            for document in &documents {
                if let Some(kind) = kind_of(document) {
                    laws::hold(kind, document);
                    judged += 1;
                }
            }
        }
    }
    assert!(judged > 10, "only {judged} objects of our kinds");
}

#[test]
fn laws_hold_for_what_the_fuzzer_kept() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for name in laws::Target::names() {
        assert!(!files(&corpus.join(&name)).is_empty(), "fuzz/corpus/{name} has no files");
    }
    let mut replayed = 0;
    for folder in fs::read_dir(&corpus).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let target = laws::Target::named(&name).unwrap_or_else(|| panic!("fuzz/corpus/{name} is no target: {:?}", laws::Target::names()));
        for file in files(&folder.path()) {
            println!("{file}");
            target.holds_for(&fs::read(file).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed > 10, "only {replayed} files");
}

fn kind_of(object: &Value) -> Option<&'static Kind> {
    let (group, _) = object["apiVersion"].as_str()?.split_once('/')?;
    catalog::find(group, object["kind"].as_str()?)
}

/// The paths of all files below a folder; none where it is absent.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files.sort();
    files
}
