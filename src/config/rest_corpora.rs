//! The corpora of ServiceEntry, Sidecar, EnvoyFilter, WorkloadEntry, WorkloadGroup and ProxyConfig, replayed.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{Invalid, ParseContext, Parsed, parse_object};
use crate::model::ConfigObject;

const KINDS: [&str; 6] = ["envoyfilter-", "proxyconfig-", "serviceentry-", "sidecar-", "workloadentry-", "workloadgroup-"];

fn parse(object: &Value) -> Result<Parsed<ConfigObject>, Invalid> {
    parse_object("networking.istio.io", object["kind"].as_str().unwrap(), object, &ParseContext::default())
}

/// Files of our kinds: the name, the text and the object.
fn cases(folder: &str) -> Vec<(String, String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(folder);
    let mut cases = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if KINDS.iter().any(|kind| name.starts_with(kind)) {
            let text = fs::read_to_string(&path).unwrap();
            let object = serde_saphyr::from_str(&text).unwrap();
            cases.push((name, text, object));
        }
    }
    cases
}

#[test]
fn refusals_name_the_field() {
    let mut wrong = Vec::new();
    let refused = cases("reject");
    assert!(refused.len() >= 72, "only {} objects", refused.len());
    for (name, text, object) in refused {
        let (expected, _) = text.strip_prefix("# ").unwrap().split_once(": ").unwrap();
        match parse(&object) {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(invalid) if !invalid.errors.iter().any(|problem| problem.path == expected) => {
                wrong.push(format!("{name}: expected {expected}, found {invalid}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn acceptances_warn_of_what_they_should() {
    let mut wrong = Vec::new();
    let accepted = cases("accept");
    assert!(accepted.len() >= 36, "only {} objects", accepted.len());
    for (name, text, object) in accepted {
        let expected: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# warns: ")).collect();
        match parse(&object) {
            Ok(parsed) => {
                let found: BTreeSet<&str> = parsed.warnings.iter().map(|problem| problem.code.as_str()).collect();
                if found != expected {
                    wrong.push(format!("{name}: expected {expected:?}, found {:?}", parsed.warnings));
                }
            }
            Err(invalid) => wrong.push(format!("{name}: {invalid}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
