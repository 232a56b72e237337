//! Small objects, each with its verdict: our own under `conformance/`, and those of the reference where they are at hand.
//!
//! Our own say in their first line what is expected: `# spec.http[0].route: weights add up to 90` is the one fault of a refusal,
//! `# warns: FM0121` in an acceptance is a code that it must be warned with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::tests::{parse, shared, yaml_files};

/// Objects whose verdict can't be the reference's, each with the reason.
const EXCEPTIONS: [(&str, &str); 3] = [
    (
        "reject/authorizationpolicy-e8f4dffc59ad.yaml",
        "the empty list that is refused is not in the file, whose empty rule allows everything",
    ),
    ("reject/peerauthentication-40781f68ce36.yaml", "the empty map that is refused is not in the file: YAML made of protobuf drops it"),
    ("accept/requestauthentication-8b9836478022.yaml", "the reference's own CRD refuses it"),
];
/// Groups of the samples that no configuration of the mesh is in: Kubernetes' own, Mixer's, the Gateway API's.
const FOREIGN: [&str; 4] = ["", "apps", "config.istio.io", "gateway.networking.k8s.io"];
/// The least number of our own acceptances and refusals, by kind.
const LEAST: [(&str, usize, usize); 3] = [("destinationrule", 20, 40), ("gateway", 20, 40), ("virtualservice", 20, 40)];

fn own(folder: &str) -> Vec<PathBuf> {
    yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(folder))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn documents(path: &Path) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap();
    documents.into_iter().filter(Value::is_object).collect()
}

fn group_and_kind(object: &Value) -> (&str, &str) {
    let group = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    (group, object["kind"].as_str().unwrap_or_default())
}

fn is_known(object: &Value) -> bool {
    let (group, kind) = group_and_kind(object);
    ferromesh_crds::catalog::find(group, kind).is_some()
}

/// The object of one of our own files.
fn only(path: &Path) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{} holds one object", path.display());
    documents.remove(0)
}

#[test]
fn our_acceptances_are_accepted_with_their_warnings() {
    let mut differences = String::new();
    for path in own("accept") {
        let text = fs::read_to_string(&path).unwrap();
        let expected: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# warns: ")).flat_map(str::split_whitespace).collect();
        match parse(&only(&path)) {
            Ok(parsed) => {
                let warned: BTreeSet<&str> = parsed.warnings.iter().map(|warning| warning.code.as_str()).collect();
                if warned != expected {
                    writeln!(differences, "{}: expected {expected:?}, got {:#?}", file_name(&path), parsed.warnings).unwrap();
                }
            }
            Err(invalid) => writeln!(differences, "{}: {invalid}", file_name(&path)).unwrap(),
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn our_refusals_are_refused_at_their_one_fault() {
    let mut differences = String::new();
    for path in own("reject") {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let expected = first.strip_prefix("# ").and_then(|line| line.split_once(": ")).map(|(path, _)| path);
        let told: BTreeSet<String> = match parse(&only(&path)) {
            Ok(_) => BTreeSet::new(),
            Err(invalid) => invalid.errors.into_iter().map(|problem| problem.path).collect(),
        };
        // A fault of a whole may be told of its parts, too.
        let one_fault = expected.is_some_and(|fault| told.contains(fault) && told.iter().all(|path| path.starts_with(fault)));
        if !one_fault {
            writeln!(differences, "{}: expected {expected:?}, got {told:?}", file_name(&path)).unwrap();
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// What the compiler does not act on yet is in the model all the same.
#[test]
fn every_field_reaches_the_model() {
    let told = [
        "destinationrule-hash-by-cookie",
        "destinationrule-locality-distribute",
        "destinationrule-outlier-in-full",
        "destinationrule-pool-in-full",
        "destinationrule-retry-budget",
        "destinationrule-tls-secret",
        "destinationrule-tunnel",
        "destinationrule-warmup",
        "gateway-authorities-in-a-secret",
        "gateway-bind-socket",
        "gateway-ciphers-unknown",
        "gateway-mutual-by-files",
        "gateway-versions-and-ciphers",
        "virtualservice-claims-at-a-gateway",
        "virtualservice-cors-of-1-4",
        "virtualservice-delegating",
        "virtualservice-direct-response",
        "virtualservice-fault-of-1-4",
        "virtualservice-headers-of-1-4",
        "virtualservice-host-by-header",
        "virtualservice-match-everything-that-can-be-matched",
        "virtualservice-mirror-of-1-4",
        "virtualservice-mirrors",
        "virtualservice-redirect-prefix",
        "virtualservice-retries",
    ];
    let mut read = String::new();
    for path in own("accept").iter().filter(|path| told.iter().any(|name| file_name(path) == format!("{name}.yaml"))) {
        let parsed = parse(&only(path)).unwrap();
        writeln!(read, "{}\n{:#?}\n", file_name(path), parsed.value).unwrap();
    }
    insta::assert_snapshot!(read);
}

#[test]
fn our_objects_are_many_for_each_kind() {
    let count = |folder: &str, kind: &str| own(folder).iter().filter(|path| file_name(path).starts_with(&format!("{kind}-"))).count();
    for (kind, accepted, refused) in LEAST {
        let found = (count("accept", kind), count("reject", kind));
        assert!(found.0 >= accepted && found.1 >= refused, "{kind}: {found:?}");
    }
}

#[test]
fn verdicts_are_those_of_the_reference() {
    let Some(root) = shared("conformance/validation") else { return };
    let mut differences = String::new();
    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    for (folder, good) in [("accept", true), ("reject", false)] {
        for path in yaml_files(&root.join(folder)) {
            let shown = format!("{folder}/{}", file_name(&path));
            let excepted = EXCEPTIONS.iter().any(|(name, _)| *name == shown);
            for object in documents(&path).iter().filter(|object| is_known(object)) {
                let verdict = parse(object);
                *judged.entry(group_and_kind(object).1.to_owned()).or_default() += 1;
                if verdict.is_ok() != good && !excepted {
                    let why = fs::read_to_string(&path).unwrap().lines().next().unwrap_or_default().to_owned();
                    writeln!(differences, "{shown}: {why}\n    ours: {:?}", verdict.map(|_| "accepted").map_err(|e| e.to_string()))
                        .unwrap();
                }
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    for (kind, least) in [("VirtualService", 15), ("DestinationRule", 18), ("Gateway", 5)] {
        assert!(judged.get(kind).is_some_and(|count| *count >= least), "{kind}: {judged:?}");
    }
}

#[test]
fn samples_are_accepted() {
    let Some(root) = shared("samples") else { return };
    let mut differences = String::new();
    let mut accepted = 0;
    for path in yaml_files(&root) {
        for object in documents(&path) {
            if is_known(&object) {
                match parse(&object) {
                    Ok(_) => accepted += 1,
                    Err(invalid) => writeln!(differences, "{}: {invalid}", path.display()).unwrap(),
                }
            } else if !FOREIGN.contains(&group_and_kind(&object).0) {
                writeln!(differences, "{}: unknown {:?}", path.display(), group_and_kind(&object)).unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    assert!(accepted > 30, "only {accepted}");
}
