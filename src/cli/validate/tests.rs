use serde_json::Value;
use std::{fs, path::PathBuf, time::Instant};

use crate::cli::{
    Exit,
    tests::{Run, TERMINAL, run, run_in},
};

const REVIEWS: &str = "\
# Reviews, for jason and the others
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
  - reviews
  http:
  - match:
    - headers: {end-user: {exact: jason}}
    route:
    - destination: {host: reviews, subset: v2}
  - route:
    - destination: {host: reviews, subset: v1}
";

fn validate(text: &str) -> Run {
    run("validate -", text)
}

/// Findings as `code line:column path`.
fn findings(text: &str) -> Vec<String> {
    let run = run("validate -o json -", text);
    let value: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let findings = value["findings"].as_array().unwrap().iter();
    let shown = findings.map(|finding| {
        let location = &finding["location"];
        format!("{} {}:{} {}", text(&finding["code"]), location["line"], location["column"], text(&finding["path"]))
    });
    shown.collect()
}

#[test]
fn the_example_of_the_user_experience() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reviews.yaml");
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\n  namespace: shop\nspec:\n  hosts:\n  \
                - reviews\n  http:\n  - route:\n    - destination:\n        host: reviews\n    # how long\n      timout: 3s\n";
    // The field stands in the rule, beside its route.
    let text = text.replace(
        "  - route:\n    - destination:\n        host: reviews\n    # how long\n      timout",
        "    -\n      route:\n      - destination: {host: reviews}\n      # how long\n      timout",
    );
    fs::write(&file, text).unwrap();
    let run = run(&format!("validate -f {}", file.display()), "");
    assert_eq!(run.exit, Exit::Findings);
    let told = run.stdout.replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(
        told,
        "error[FM0104]: unknown field \"timout\"\n  --> reviews.yaml:14:7  VirtualService shop/reviews  spec.http[0].timout\n14 |       timout: \
         3s\n   |       ^^^^^^ did you mean \"timeout\"?\n\n1 error in 1 object\n"
    );
}

#[test]
fn what_is_right_is_told_in_a_line() {
    let run = validate(REVIEWS);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (Exit::Clean, "✓ 1 object is valid\n", ""));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = REVIEWS
        .replace("name: reviews", "name: Reviews")
        .replace("subset: v2", "subset: v_2, wieght: 3")
        .replace("  hosts:\n  - reviews\n", "  hosts: reviews\n");
    let text = format!("{text}    timeout: 0s\n---\nkind: Sidecar\nmetadata: {{name: x}}\n---\napiVersion: apps/v1\nkind: Deployment\n");
    let plain = validate(&text);
    assert_eq!(plain.exit, Exit::Findings);
    insta::assert_snapshot!(plain.stdout);
    insta::assert_snapshot!(run_in(&TERMINAL, "validate -", &text).stdout.replace('\x1b', "ESC"));
    insta::assert_snapshot!(run("validate -o json -", &text).stdout);
    insta::assert_snapshot!(run("validate -o yaml -", &text).stdout);
    insta::assert_snapshot!(run("validate -o log -", &text).stdout);
}

#[test]
fn a_rule_of_cel_alone_is_found_where_no_reader_knows_it() {
    let text = "apiVersion: install.ferromesh.dev/v1alpha1\nkind: MeshInstall\nmetadata: {name: mesh}\nspec:\n  profile: default\n  revision: Bad_Name\n";
    let findings = findings(text);
    assert!(findings.iter().all(|finding| finding.ends_with("6:13 spec.revision")) && !findings.is_empty(), "{findings:?}");
}

#[test]
fn a_rule_that_a_reader_knows_too_is_told_once() {
    let text = format!("{REVIEWS}    timeout: 0s\n");
    assert_eq!(findings(&text), ["FM0113 17:14 spec.http[1].timeout"]);
}

#[test]
fn a_rule_about_a_label_is_told_once_though_its_key_has_dots() {
    let text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: b}\nspec:\n  selector:\n    \
                matchLabels:\n      example.com/app: \"x*\"\n";
    assert_eq!(findings(text), ["FM0117 7:24 spec.selector.matchLabels[example.com/app]"]);
}

#[test]
fn warnings_fail_on_request_only() {
    let text = format!("{REVIEWS}  - route: [{{destination: {{host: never}}}}]\n");
    let warned = validate(&text);
    assert_eq!(warned.exit, Exit::Clean, "{}", warned.stdout);
    assert!(warned.stdout.starts_with("warning[IST0130]: spec.http[2] never matches: spec.http[1] takes every"), "{}", warned.stdout);
    assert!(warned.stdout.ends_with("1 warning in 1 object\n"), "{}", warned.stdout);
    assert_eq!(run("validate --fail-on Warning -", &text).exit, Exit::Findings);
}

#[test]
fn text_that_can_not_be_parsed_has_its_own_exit_code() {
    let text = format!("a: [1,\n---\n{REVIEWS}---\nmetadata: {{name: a, name: b}}\n");
    let run = validate(&text);
    assert_eq!(run.exit, Exit::Unreadable);
    insta::assert_snapshot!(run.stdout);
    assert_eq!(validate("a: \u{0}").exit, Exit::Unreadable);
}

#[test]
fn a_key_that_occurs_twice_is_a_finding() {
    let text = REVIEWS.replace("  namespace: shop\n", "  namespace: shop\n  namespace: store\n");
    let run = validate(&text);
    assert_eq!(run.exit, Exit::Findings);
    assert!(
        run.stdout.starts_with("error[FM0109]: the key \"namespace\" occurs twice, first in line 6\n --> stdin:7:3\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn lists_are_taken_apart_and_items_know_their_places() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n- apiVersion: networking.istio.io/v1\n  kind: \
                VirtualService\n  metadata: {name: a}\n  spec: {hosts: [a], http: [], htp: []}\n- apiVersion: networking.istio.io/v1\n  kind: GatewayList\n  \
                items:\n  - metadata: {name: g}\n    spec: {servers: [], server: []}\n";
    assert_eq!(findings(text), ["FM0103 9:3 spec", "FM0104 9:32 spec.htp", "FM0103 14:12 spec.servers", "FM0104 14:25 spec.server"]);
}

#[test]
fn json_is_taken_as_well() {
    let text = "{\"apiVersion\": \"networking.istio.io/v1\", \"kind\": \"Sidecar\",\n\t\"metadata\": {\"name\": \"x\"},\n\t\"spec\": {\"egress\": [], \"egres\": []}}";
    assert_eq!(findings(text), ["FM0103 3:2 spec", "FM0104 3:25 spec.egres"]);
}

#[test]
fn kinds_and_versions_that_there_are_not_are_named_with_those_that_there_are() {
    let object = |api_version: &str, kind: &str| format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n");
    let texts = [
        object("networking.istio.io/v2", "Gateway"),
        object("networking.istio.io/v1", "VirtualServise"),
        object("netwrking.istio.io/v1", "Gateway"),
    ];
    let told = run("validate -o log -", &texts.join("---\n")).stdout;
    // Which others there are grows with the mesh's API.
    let lines: Vec<&str> = told.lines().collect();
    let [version, kind, group] = lines[..] else { panic!("{told}") };
    assert_eq!(
        version,
        "Error [FM0118] (Gateway x stdin:1) apiVersion: Gateway has no version \"v2\", only v1, v1beta1, v1alpha3, did you mean \"v1\"?"
    );
    assert!(
        kind.starts_with("Error [FM0118] (VirtualServise x stdin:6) kind: networking.istio.io has no kind \"VirtualServise\", only "),
        "{kind}"
    );
    assert!(kind.contains(" Gateway, ") && kind.ends_with(", did you mean \"VirtualService\"?"), "{kind}");
    assert!(
        group.starts_with("Error [FM0118] (Gateway x stdin:9) apiVersion: the mesh has no API group \"netwrking.istio.io\", only "),
        "{group}"
    );
    assert!(group.ends_with(", did you mean \"networking.istio.io\"?"), "{group}");
}

#[test]
fn a_document_that_is_no_object_is_told_so() {
    assert_eq!(findings("just text\n---\n- a\n"), ["FM0102 1:1 -", "FM0102 3:1 -"]);
    assert!(validate("42").stdout.starts_with("error[FM0102]: this is no object: it needs apiVersion, kind and metadata\n"));
    assert_eq!(findings("apiVersion: 1\nkind: [x]\n"), ["FM0102 1:13 apiVersion", "FM0102 2:1 kind"]);
}

#[test]
fn objects_of_other_apis_are_counted_alone() {
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n---\napiVersion: v1\nkind: Service\nspec: 7\n";
    let run = validate(text);
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Clean, "✓ 0 objects are valid; 2 objects of other APIs skipped\n"));
}

#[test]
fn the_namespace_of_objects_that_name_none_can_be_told() {
    let text = REVIEWS.replace("  namespace: shop\n", "").replace("hosts:", "hots:");
    let run = run("validate -n store -", &text);
    assert!(run.stdout.contains("VirtualService store/reviews"), "{}", run.stdout);
}

#[test]
fn the_samples_of_the_reference_are_accepted() {
    let run = run(&format!("validate -R {} -o json", shared().join("samples").display()), "");
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    // Kinds that the mesh has not are no matter of how the others are read.
    let wrong = |finding: &&Value| finding["level"] == "Error" && finding["code"] != "FM0118";
    let errors: Vec<String> = value["findings"].as_array().unwrap().iter().filter(wrong).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(value["summary"]["objects"].as_u64().unwrap() > 50, "{}", value["summary"]);
}

fn shared() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    std::env::var_os("FERROMESH_SHARED").map_or(default, PathBuf::from)
}

#[test]
fn a_thousand_files_compile_each_schema_once() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        let text = REVIEWS.replace("name: reviews", &format!("name: reviews-{number}"));
        fs::write(directory.path().join(format!("{number:04}.yaml")), text).unwrap();
    }
    let started = Instant::now();
    let run = run(&format!("validate {}", directory.path().display()), "");
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Clean, "✓ 1000 objects are valid\n"));
    // Compiling for each file would take minutes in a debug build.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn all_files_that_are_not_there_are_told_and_the_others_checked() {
    let told = run("validate -o log /no/such/a.yaml - /no/such/b.yaml", &REVIEWS.replace("hosts:", "hots:"));
    assert_eq!(told.exit, Exit::Usage, "{told:?}");
    assert_eq!(told.stderr, "error: there is no file /no/such/a.yaml\nerror: there is no file /no/such/b.yaml\n");
    assert!(told.stdout.contains("[FM0104]"), "{told:?}");
    let nothing = run("validate /no/such/a.yaml", "");
    assert_eq!((nothing.exit, nothing.stdout.as_str()), (Exit::Usage, ""), "{nothing:?}");
}

#[test]
fn what_is_wrong_stands_in_columns_on_request() {
    let text = REVIEWS.replace("  hosts:\n  - reviews\n", "  hosts:\n  - reviews\n  htp: []\n").replace("subset: v2", "subset: v_2");
    let form = |form: &str| run(&format!("validate -o {form} -"), &text).stdout;
    insta::assert_snapshot!(form("table"));
    insta::assert_snapshot!(form("wide"));
    let coloured = run_in(&TERMINAL, "validate -o table -", &text).stdout;
    assert!(coloured.lines().nth(1).is_some_and(|line| line.starts_with("\x1b[1;31mError\x1b[0m  FM0104")), "{coloured}");
}

#[test]
fn a_condition_that_is_covered_is_as_bad_as_analyze_finds_it() {
    let text = REVIEWS
        .replace("  - match:\n    - headers: {end-user: {exact: jason}}\n", "  - match: [{uri: {prefix: /a}}, {uri: {prefix: /a/b}}]\n");
    let levels = |verb: &str| -> Vec<String> {
        let told = run(&format!("{verb} -o log -"), &text).stdout;
        told.lines().filter(|line| line.contains("IST0131")).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(levels("validate"), ["Info"]);
    assert_eq!(levels("analyze --use-kube=false"), ["Info"]);
}

#[test]
fn kinds_of_another_mesh_are_told_once_a_file() {
    let rule = |name: &str| format!("apiVersion: config.example.istio.io/v1\nkind: rule\nmetadata: {{name: {name}}}\n");
    let text = ["a", "b", "c"].map(rule).join("---\n");
    for verb in ["validate", "analyze --use-kube=false"] {
        let told = run(&format!("{verb} -o log -"), &text);
        let lines: Vec<&str> = told.stdout.lines().collect();
        let [line] = lines.as_slice() else { panic!("{told:?}") };
        assert!(line.contains("stdin:1") && line.contains("; the same holds for 2 more objects of the file"), "{line}");
    }
}

#[test]
fn fields_that_exclude_each_other_are_told_in_the_reader_s_words() {
    let text = REVIEWS.replace("exact: jason", "exact: jason, prefix: j");
    assert!(validate(&text).stdout.contains("exact and prefix exclude each other"), "{}", validate(&text).stdout);
    assert!(!validate(&text).stdout.contains("has 2 fields"));
}
