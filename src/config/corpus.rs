//! Objects of `conformance/` against the readers: what is accepted and with which warnings, and what is refused and where.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{ParseContext, parse_object};

/// Groups whose objects are judged here.
const GROUPS: [&str; 5] = ["authentication.istio.io", "extensions.istio.io", "rbac.istio.io", "security.istio.io", "telemetry.istio.io"];

/// The files of a folder, each with its text and its object.
fn objects(folder: &str) -> Vec<(PathBuf, String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(folder);
    let mut read: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let object = serde_saphyr::from_str(&text).unwrap();
            (path, text, object)
        })
        .filter(|(_, _, object): &(_, _, Value)| GROUPS.contains(&group(object)))
        .collect();
    read.sort_by(|a, b| a.0.cmp(&b.0));
    read
}

fn group(object: &Value) -> &str {
    object["apiVersion"].as_str().and_then(|version| version.split('/').next()).unwrap_or_default()
}

#[test]
fn what_is_good_is_accepted_with_the_warnings_that_it_names() {
    let mut differences = String::new();
    let accepted = objects("accept");
    for (path, text, object) in &accepted {
        let mut expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# warns: ")).collect();
        expected.sort_unstable();
        match parse_object(group(object), object["kind"].as_str().unwrap(), object, &ParseContext::default()) {
            Ok(parsed) => {
                let mut found: Vec<&str> = parsed.warnings.iter().map(|warning| warning.code.as_str()).collect();
                found.sort_unstable();
                if found != expected {
                    writeln!(differences, "{}: warns {:?}", path.display(), parsed.warnings).unwrap();
                }
            }
            Err(invalid) => writeln!(differences, "{}: {invalid}", path.display()).unwrap(),
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    assert!(accepted.len() >= 80, "only {}", accepted.len());
}

#[test]
fn what_is_bad_is_refused_where_it_is_bad() {
    let mut differences = String::new();
    let refused = objects("reject");
    for (path, text, object) in &refused {
        let (expected, _) = text.strip_prefix("# ").unwrap().split_once(": ").unwrap();
        match parse_object(group(object), object["kind"].as_str().unwrap(), object, &ParseContext::default()) {
            Ok(_) => writeln!(differences, "{}: accepted", path.display()).unwrap(),
            Err(invalid) if invalid.errors.iter().any(|problem| problem.path == expected) => {}
            Err(invalid) => writeln!(differences, "{}: {invalid}", path.display()).unwrap(),
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    assert!(refused.len() >= 200, "only {}", refused.len());
}
