//! All kinds against the reference's verdicts, against users' objects, and against hostile ones.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Code, Invalid, ParseContext, Parsed, parse_object};
use crate::model::ConfigObject;

pub(super) fn parse(object: &Value) -> Result<Parsed<ConfigObject>, Invalid> {
    let (group, _) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    parse_object(group, object["kind"].as_str().unwrap(), object, &ParseContext::default())
}

fn object(kind: &str, spec: Value) -> Value {
    let known = ferromesh_crds::catalog::kinds().iter().find(|known| known.name == kind);
    let group = known.map_or("networking.istio.io", |known| known.group);
    json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "reviews", "namespace": "shop"}, "spec": spec})
}

/// What is wrong with an object, a line each; its warnings if nothing is.
fn told(kind: &str, spec: Value) -> String {
    let problems = match parse(&object(kind, spec)) {
        Ok(parsed) => parsed.warnings,
        Err(invalid) => invalid.errors,
    };
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// A folder beside the project with what the reference does; `None`, and a note for the summary, where it is absent.
pub(super) fn shared(folder: &str) -> Option<PathBuf> {
    let root = env::var_os("FERROMESH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    crate::testing::skip("config", &format!("{} is absent; FERROMESH_SHARED names another place", path.display()));
    None
}

pub(super) fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The objects of our kinds in a file.
fn objects(path: &Path) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap();
    let ours = |object: &Value| {
        let group = object["apiVersion"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
        ferromesh_crds::catalog::find(group, object["kind"].as_str().unwrap_or_default()).is_some()
    };
    documents.into_iter().filter(ours).collect()
}

#[test]
fn objects_of_users_are_understood_and_wholly_honoured() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for path in yaml_files(&own).into_iter().chain(shared("samples").iter().flat_map(|root| yaml_files(root))) {
        for object in objects(&path) {
            match parse(&object) {
                Ok(parsed) => {
                    let dropped: Vec<_> = parsed.warnings.iter().filter(|warning| warning.code == Code::NotHonoured).collect();
                    assert!(dropped.is_empty(), "{}: {dropped:?}", path.display());
                }
                Err(invalid) => panic!("{}: {invalid}", path.display()),
            }
        }
    }
}

#[test]
fn everything_wrong_with_an_object_is_told_at_once() {
    let spec = json!({
        "hosts": ["reviews", "*.a_b.com"],
        "gateways": ["*/gw"],
        "http": [
            {"timout": "3s", "match": [{"uri": {"regex": "("}}], "route": [
                {"destination": {"host": "reviews", "subset": "v_1"}, "weight": 80},
                {"destination": {"host": "*"}, "weight": 10},
            ]},
            {"timeout": "1us", "redirect": {"redirectCode": 304}, "headers": {"request": {"add": {"bad name": "x"}}}},
            {"fault": {"abort": {"percentage": {"value": 101}}}, "route": [{}]},
        ],
        "tls": [{"match": [{"sniHosts": ["other.com"]}], "route": []}],
    });
    insta::assert_snapshot!(told("VirtualService", spec));
}

#[test]
fn wrong_types_are_told_without_what_follows_from_them() {
    insta::assert_snapshot!(told("VirtualService", json!({"hosts": "reviews", "http": [{"route": {}}]})), @r"
    spec.hosts: must be of type array, not string (FM0102)
    spec.http[0].route: must be of type array, not object (FM0102)
    ");
}

#[test]
fn a_line_tells_all_problems_and_counts_those_that_are_too_many() {
    let hosts: Vec<String> = (0..150).map(|number| format!("a_{number}")).collect();
    let invalid = parse(&object("ServiceEntry", json!({"hosts": hosts, "ports": []}))).unwrap_err();
    let line = invalid.to_string();
    assert!(line.starts_with("spec.hosts[0]: \"a_0\" is no DNS name: the label \"a_0\" is malformed (FM0110); spec.hosts[1]"), "{line}");
    assert!(line.ends_with("; and 130 more"), "{line}");
}

#[test]
fn short_names_are_services_of_the_objects_namespace() {
    let route = json!([{"destination": {"host": "ratings", "subset": "v1", "port": {"number": 9080}}}]);
    let spec = json!({"hosts": ["reviews", "*.example.com", "10.0.0.1"], "gateways": ["mesh", "edge", "./own", "infra/gw"], "http": [{"route": route}]});
    let parsed = parse(&object("VirtualService", spec)).unwrap();
    let ConfigObject::VirtualService(service) = parsed.value else { panic!("{parsed:?}") };
    let hosts: Vec<&str> = service.hosts.iter().map(|host| host.as_str()).collect();
    assert_eq!(hosts, ["reviews.shop.svc.cluster.local", "*.example.com", "10.0.0.1"]);
    assert_eq!(service.gateways.iter().map(|g| &**g).collect::<Vec<_>>(), ["mesh", "shop/edge", "shop/own", "infra/gw"]);
    let crate::model::HttpAction::Forward(destinations) = &service.http[0].action else { panic!("{service:?}") };
    assert_eq!(destinations[0].destination.host.as_str(), "ratings.shop.svc.cluster.local");
}

#[test]
fn a_new_host_among_the_headers_is_a_rewrite() {
    let spec = json!({"hosts": ["a"], "http": [{"headers": {"request": {"add": {"Host": "b"}, "set": {"x-a": "1"}}}, "route": [{"destination": {"host": "a"}}]}]});
    let parsed = parse(&object("VirtualService", spec)).unwrap();
    let ConfigObject::VirtualService(service) = parsed.value else { panic!("{parsed:?}") };
    assert_eq!(service.http[0].rewrite.as_ref().unwrap().authority.as_deref(), Some("b"));
    assert_eq!(service.http[0].headers.as_ref().unwrap().request_set.len(), 1);
}

/// Envoy refuses a whole listener that removes a host, or changes one in responses.
#[test]
fn a_host_can_only_be_set_in_requests() {
    for change in [json!({"request": {"remove": [":authority"]}}), json!({"response": {"set": {"Host": "b"}}})] {
        let spec = json!({"hosts": ["a"], "http": [{"headers": change, "route": [{"destination": {"host": "a"}}]}]});
        let told = told("VirtualService", spec);
        assert!(told.contains("the host can only be set, in headers.request or rewrite.authority (FM0115)"), "{told}");
    }
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let to = json!([{"destination": {"host": "reviews"}}]);
    let spec = json!({
        "hosts": ["reviews"],
        "http": [
            {"match": [{"uri": {"prefix": "/api"}}], "route": to, "mirror": {"host": "copy"}},
            {"match": [{"uri": {"prefix": "/api/v1"}, "method": {"exact": "GET"}}], "route": to, "corsPolicy": {"maxAge": "1m"}},
            {"route": to, "retries": {"attempts": 2, "backoff": "10ms"}},
            {"match": [{"uri": {"exact": "/x"}}], "route": to, "appendHeaders": {"x-a": "b"}},
        ],
    });
    insta::assert_snapshot!(told("VirtualService", spec));
}

#[test]
fn problems_of_the_other_kinds() {
    let mut all = String::new();
    let cases = [
        (
            "DestinationRule",
            json!({"host": "reviews", "trafficPolicy": {}, "subsets": [{"name": "v1"}, {"name": "v1", "labels": {"a b": "*"}}]}),
        ),
        (
            "DestinationRule",
            json!({"host": "a", "trafficPolicy": {"tls": {"mode": "MUTUAL"}, "portLevelSettings": [{"port": {"number": 80}}]}}),
        ),
        ("Gateway", json!({"servers": [{"port": {"number": 443, "protocol": "HTTPS", "name": "a"}, "hosts": ["reviews"]}]})),
        (
            "Gateway",
            json!({"selector": {"a": "b"}, "servers": [{"port": {"number": 80, "protocol": "SPDY", "name": "a"}, "hosts": ["x/*.a.com"], "tls": {"mode": "SIMPLE"}}]}),
        ),
        (
            "ServiceEntry",
            json!({"hosts": ["a.com"], "resolution": "STATIC", "ports": [{"number": 1, "name": "a", "protocol": "TCP"}], "endpoints": [{"address": "b.com", "ports": {"x": 1}}]}),
        ),
        (
            "Sidecar",
            json!({"egress": [{"hosts": ["*"]}, {"port": {"number": 80}, "hosts": ["./reviews"]}], "outboundTrafficPolicy": {"egressProxy": {"host": "a.b"}}}),
        ),
        ("PeerAuthentication", json!({"portLevelMtls": {"http": {"mode": "STRICT"}}})),
        ("PeerAuthentication", json!({"selector": {}, "mtls": {"mode": "STRIKT"}})),
    ];
    for (kind, spec) in cases {
        write!(all, "{kind} {spec}\n{}\n", told(kind, spec.clone())).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_unknown_kind_is_named() {
    let error = parse_object("networking.istio.io", "VirtualServise", &json!({}), &ParseContext::default()).unwrap_err();
    assert_eq!(error.to_string(), "the mesh has no kind \"VirtualServise\" in group \"networking.istio.io\" (FM0118)");
    assert!(parse_object("install.ferromesh.dev", "MeshInstall", &json!({}), &ParseContext::default()).is_err());
}

#[test]
fn nulls_are_absent_fields() {
    let spec = json!({"hosts": ["a"], "gateways": null, "http": [{"name": null, "match": null, "route": [{"destination": {"host": "a", "subset": null}}]}]});
    parse(&object("VirtualService", spec)).unwrap();
}

#[test]
fn nulls_do_not_hide_what_the_reader_finds() {
    let told = told(
        "VirtualService",
        json!({"hosts": ["a_b"], "gateways": null, "htp": [], "http": [{"route": [{"destination": {"host": "a"}}]}]}),
    );
    assert!(told.contains("spec.htp: ") && told.contains("spec.hosts[0]: "), "{told}");
}

#[test]
fn the_status_decides_nothing() {
    let mut object = object("DestinationRule", json!({"host": "a"}));
    let without = parse(&object).unwrap();
    object["status"] = json!({"observedGeneration": i64::MAX, "conditions": [{"type": "Accepted", "lastTransitionTime": "yesterday"}]});
    assert_eq!(parse(&object).unwrap(), without);
}

#[test]
fn errors_of_schema_and_reader_together_are_counted_beyond_a_hundred() {
    let mut spec: serde_json::Map<_, _> = (0..90).map(|number| (format!("unknown{number}"), json!(1))).collect();
    spec.insert("hosts".to_owned(), (0..90).map(|number| json!(format!("a_{number}"))).collect());
    let invalid = parse(&object("VirtualService", spec.into())).unwrap_err();
    assert_eq!((invalid.errors.len(), invalid.more), (100, 81));
}

/// Nanoseconds for which this thread has had a processor: what others do on the machine does not count.
fn cost() -> u64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap()
}

/// Specs of the greatest size that the API server takes, made to cost as much as possible; or of that part of it.
fn hostile(part: usize) -> Vec<(&'static str, &'static str, Value)> {
    let many = |count: usize, one: &dyn Fn(usize) -> Value| Value::Array((0..count / part).map(one).collect());
    let text = |length: usize| "x".repeat(length / part);
    let to = json!([{"destination": {"host": "a"}}]);
    vec![
        ("overlapping hosts", "VirtualService", json!({"hosts": many(150_000, &|n| json!(format!("*.h{n}.example.com")))})),
        ("equal hosts", "VirtualService", json!({"hosts": many(300_000, &|_| json!("a.com"))})),
        (
            "server names",
            "VirtualService",
            json!({"hosts": many(100_000, &|n| json!(format!("*.h{n}.com"))),
            "tls": [{"route": to, "match": [{"sniHosts": many(100_000, &|n| json!(format!("a.h{n}.com")))}]}]}),
        ),
        (
            "expressions",
            "VirtualService",
            json!({"hosts": ["a"], "http": many(20_000, &|_| {
                json!({"route": to, "match": [{"uri": {"regex": r"(\pL\pN{500}){2}[\PL\pN]"}}]})
            })}),
        ),
        (
            "a long expression",
            "VirtualService",
            json!({"hosts": ["a"], "http": [{"route": to, "match": [{"uri": {"regex": text(3_000_000)}}]}]}),
        ),
        (
            "prefixes",
            "VirtualService",
            json!({"hosts": ["a"], "http": many(10_000, &|n| {
                json!({"route": to, "match": [{"uri": {"prefix": format!("/{n}/{}", "x".repeat(200))}}]})
            })}),
        ),
        ("unknown fields", "VirtualService", Value::Object((0..200_000 / part).map(|n| (format!("hots{n}"), json!(1))).collect())),
        ("a long unknown field", "VirtualService", json!({text(3_000_000): 1})),
        ("a long value", "DestinationRule", json!({"host": text(1_000_000), "trafficPolicy": {"tls": {"mode": text(1_000_000)}}})),
        (
            "labels",
            "DestinationRule",
            json!({"host": "a", "subsets": many(1000, &|n| {
                json!({"name": format!("v{n}"), "labels": (0..80).map(|m| (format!("*{m}"), json!("*"))).collect::<serde_json::Map<_, _>>()})
            })}),
        ),
    ]
}

#[test]
fn a_hostile_object_costs_what_its_size_costs_and_says_little() {
    const PART: usize = 8;
    /// What is not worth a comparison.
    const LITTLE: u64 = 50_000_000;
    let parsed = |kind: &str, spec: &Value| {
        let object = object(kind, spec.clone());
        let start = cost();
        let told = parse(&object).map_or_else(|invalid| invalid.to_string().len(), |parsed| parsed.warnings.len());
        (cost() - start, told)
    };
    for ((name, kind, small), (_, _, large)) in hostile(PART).into_iter().zip(hostile(1)) {
        let ((part, _), (whole, told)) = (parsed(kind, &small), parsed(kind, &large));
        // Eight times as much may cost up to 32 times as much, for caches and allocators; a quadratic cost would be 64 times as much.
        assert!(whole < LITTLE + 4 * 8 * part, "{name}: {part} ns for an eighth, {whole} ns for all");
        assert!(told < 20_000, "{name}: {told}");
    }
}

#[test]
fn a_wrong_type_keeps_nothing_else_from_being_told() {
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {
            "host": "reviews", "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBN"}, "outlierDetection": {"interval": 1}},
            "subsets": [{"name": "v1", "labels": {"version": "v*"}}, {"name": "v1"}],
        },
    });
    let paths: Vec<String> = parse(&rule).unwrap_err().errors.into_iter().map(|problem| problem.path).collect();
    let expected = [
        "spec.trafficPolicy.loadBalancer.simple",
        "spec.trafficPolicy.outlierDetection.interval",
        "spec.subsets[0].labels[version]",
        "spec.subsets[1]",
    ];
    assert_eq!(paths, expected);
}
