use ferromesh_crds::networking::Gateway;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    live,
    stock::Stock,
    world::{Setting, make},
};
use crate::analysis::Coverage;
use crate::cli::{
    Exit,
    cluster::Cluster,
    input::SourceText,
    manifest::manifests,
    source,
    tests::{PIPE, run, run_in, run_words},
};
use crate::model::{Labels, ObjectRef};
use crate::testing::fake_api::FakeApi;

const BROKEN: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\n  namespace: shop\nspec:\n  \
                      hosts: [reviews]\n  htp: []\n";

fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 80}]}})
}

fn insert<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned>(api: &FakeApi, value: Value) {
    api.insert(&serde_json::from_value::<K>(value).unwrap());
}

fn setting(unlisted: Option<&[&str]>) -> Setting<'static> {
    let unlisted = unlisted.map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect());
    Setting { mesh_namespace: "istio-system", mesh: None, unlisted }
}

#[test]
fn an_object_that_can_not_be_understood_is_found_in_its_file() {
    let run = run("analyze --use-kube=false -", BROKEN);
    assert_eq!(run.exit, Exit::Findings, "{run:?}");
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn each_output_form_tells_the_same() {
    let form = |form: &str| run(&format!("analyze --use-kube=false -o {form} -"), BROKEN).stdout;
    insta::assert_snapshot!(form("log"));
    insta::assert_snapshot!(form("json"));
    insta::assert_snapshot!(form("yaml"));
    insta::assert_snapshot!(run_in(&PIPE, "analyze --use-kube=false --color=always -o log -", BROKEN).stdout.replace('\x1b', "ESC"));
}

#[test]
fn nothing_found_is_told_beside_the_answer_of_log() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {ports: [{name: http, port: 80}]}\n";
    let human = run("analyze --use-kube=false -", text);
    assert_eq!((human.exit, human.stdout.as_str()), (Exit::Clean, "✓ nothing found in 1 object\n"), "{human:?}");
    let log = run("analyze --use-kube=false -o log -", text);
    assert_eq!(log.stdout, "");
    assert!(log.stderr.ends_with("✓ nothing found in 1 object\n"), "{}", log.stderr);
}

#[test]
fn findings_can_be_suppressed_by_flag_and_by_annotation() {
    let code = "IST0106";
    assert!(run("analyze --use-kube=false -o log -", BROKEN).stdout.contains(code));
    let with = |suppression: &str| run_words(&PIPE, &["analyze", "--use-kube=false", "-o", "log", "-S", suppression, "-"], BROKEN);
    let suppressed = with("IST0106=VirtualService *.shop");
    assert_eq!((suppressed.exit, suppressed.stdout.as_str()), (Exit::Clean, ""));
    assert_eq!(with("IST0106=VirtualService *.store").exit, Exit::Findings);
    let annotated =
        BROKEN.replace("  namespace: shop\n", "  namespace: shop\n  annotations: {galley.istio.io/analyze-suppress: IST0106}\n");
    assert_eq!(run("analyze --use-kube=false -o log -", &annotated).stdout, "");
    let unknown = run("analyze --use-kube=false -S IST9999=* -", BROKEN);
    assert!(unknown.stderr.starts_with("note: there is no code IST9999"), "{}", unknown.stderr);
    assert_eq!(run("analyze --use-kube=false -S IST0106 -", BROKEN).exit, Exit::Usage);
}

#[test]
fn thresholds_hold_back_what_is_told_and_what_fails() {
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: b}\nspec:\n  hosts: [x.example.com]\n  \
                http:\n  - route: [{destination: {host: x.example.com}}]\n  - route: [{destination: {host: x.example.com}}]\n---\n\
                apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, namespace: b}\nspec: {hosts: [x.example.com], \
                resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n";
    let told = run("analyze --use-kube=false -o log -", text);
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert!(told.stdout.contains("IST0130"), "{told:?}");
    assert_eq!(run("analyze --use-kube=false --failure-threshold warning -", text).exit, Exit::Findings);
    assert!(run("analyze --use-kube=false --output-threshold warning -o log -", text).stdout.contains("IST0130"));
    let quiet = run("analyze --use-kube=false --failure-threshold Warning --output-threshold Error -o log -", text);
    assert_eq!((quiet.exit, quiet.stdout.as_str()), (Exit::Findings, ""));
}

#[test]
fn other_namespaces_are_told_of_on_request() {
    let told = |arguments: &str| run(&format!("analyze --use-kube=false {arguments} -o log -"), BROKEN).stdout;
    assert!(told("").contains("IST0106"));
    assert!(told("-A").contains("IST0106"));
    assert!(told("-n shop").contains("IST0106"));
}

#[test]
fn text_that_can_not_be_parsed_is_told_unless_it_may_be_passed_over() {
    let told = run("analyze --use-kube=false -", "a: [\n");
    assert_eq!(told.exit, Exit::Unreadable, "{told:?}");
    let passed = run("analyze --use-kube=false --ignore-unknown -", "a: [\n---\nb: 1\n");
    assert!(passed.stderr.starts_with("note: "), "{}", passed.stderr);
    assert_eq!((passed.exit, passed.stdout.as_str()), (Exit::Clean, "✓ nothing found in 0 objects\n"));
}

#[test]
fn a_file_that_is_no_text_keeps_nobody_from_the_others() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), b"\xff").unwrap();
    std::fs::write(directory.path().join("b.yaml"), BROKEN).unwrap();
    let told = |flag: &str| run(&format!("analyze --use-kube=false {flag} -o log {}", directory.path().display()), "");
    let all = told("");
    assert_eq!(all.exit, Exit::Unreadable, "{all:?}");
    assert!(all.stdout.contains("[FM0101] ") && all.stdout.contains("b.yaml:8) spec.htp"), "{all:?}");
    let passed = told("--ignore-unknown");
    assert!(passed.exit == Exit::Findings && !passed.stdout.contains("FM0101"), "{passed:?}");
}

#[test]
fn files_that_are_not_there_keep_nobody_from_the_others() {
    let told = run("analyze --use-kube=false -o log /no/such/a.yaml - /no/such/b.yaml", BROKEN);
    assert_eq!(told.exit, Exit::Usage, "{told:?}");
    assert!(told.stdout.contains("IST0106") && told.stderr.ends_with("b.yaml\n"), "{told:?}");
    assert_eq!(told.stderr.matches("error: there is no file").count(), 2, "{told:?}");
    let nothing = run("analyze --use-kube=false /no/such/a.yaml", "");
    assert_eq!((nothing.exit, nothing.stdout.as_str()), (Exit::Usage, ""), "{nothing:?}");
}

#[test]
fn what_files_can_not_tell_is_told_in_a_line() {
    let told = run("analyze --use-kube=false -", BROKEN).stderr;
    let notes: Vec<&str> = told.lines().collect();
    let [note] = notes.as_slice() else { panic!("{told}") };
    assert!(note.starts_with("note: files alone don't tell what a cluster runs: ") && note.len() < 120, "{note}");
}

#[test]
fn what_a_reader_found_is_told_as_validate_tells_it() {
    let text = BROKEN.replace("  htp: []\n", "  http:\n  - timout: 3s\n    route: [{weight: 1}]\n");
    let told = run("analyze --use-kube=false -", &text).stdout;
    assert!(told.contains("unknown field \"timout\" (FM0104)\n --> stdin:9:5  "), "{told}");
    assert!(told.contains("  |     ^^^^^^ did you mean \"timeout\"?\n"), "{told}");
    assert!(told.contains("\"destination\" is required (FM0103)\n"), "{told}");
}

#[test]
fn kinds_that_the_mesh_has_not_are_told() {
    let object = |api_version: &str, kind: &str| format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n");
    let text = [object("networking.istio.io/v1", "VirtualServce"), object("example.com/v1", "Foo")].join("---\n");
    let told = run("analyze --use-kube=false -o log -", &text);
    assert_eq!((told.exit, told.stdout.lines().count()), (Exit::Findings, 1), "{told:?}");
    assert!(told.stdout.starts_with("Error [FM0118] (VirtualServce default/a stdin:2) kind: networking.istio.io has no kind"), "{told:?}");
    for flags in [&["--ignore-unknown"][..], &["-S", "FM0118=VirtualServce a.default"]] {
        let words: Vec<&str> = ["analyze", "--use-kube=false", "-o", "log"].iter().chain(flags).chain(&["-"]).copied().collect();
        let passed = run_words(&PIPE, &words, &text);
        assert_eq!((passed.exit, passed.stdout.as_str()), (Exit::Clean, ""), "{flags:?}");
    }
}

#[test]
fn an_object_that_stands_in_the_files_twice_is_told() {
    let told = run("analyze --use-kube=false -o log -", &format!("{BROKEN}---\n{BROKEN}"));
    assert!(
        told.stderr.starts_with("note: VirtualService shop/reviews of stdin:1 is passed over: it stands in stdin:10 again\n"),
        "{told:?}"
    );
    assert!(!run("analyze --use-kube=false -o log -", BROKEN).stderr.contains("passed over"));
}

#[test]
fn without_a_cluster_the_way_to_look_at_files_alone_is_told() {
    let told = run("analyze --kubeconfig /no/such/file -", BROKEN);
    assert_eq!(told.exit, Exit::Unreachable);
    assert!(told.stderr.ends_with("\n  to look at the files alone: ferromesh analyze --use-kube=false …\n"), "{told:?}");
}

#[test]
fn nothing_to_look_at_is_wrong_usage_and_no_cluster_has_its_own_code() {
    assert_eq!(run("analyze --use-kube=false", "").exit, Exit::Usage);
    assert_eq!(run("analyze --kubeconfig /no/such/file", "").exit, Exit::Unreachable);
    for (time, exit) in [("5s", Exit::Unreachable), ("5", Exit::Unreachable), ("five", Exit::Usage)] {
        assert_eq!(run(&format!("analyze --kubeconfig /no/such/file --timeout {time}"), "").exit, exit, "{time}");
    }
}

#[test]
fn what_is_looked_for_is_listed() {
    let list = run("analyze -L", "");
    assert_eq!(list.exit, Exit::Clean);
    assert!(list.stdout.contains("IST0101  Error    ReferencedResourceNotFound: What is named is not there"), "{}", list.stdout);
}

#[test]
fn objects_of_files_stand_in_place_of_those_of_the_cluster() {
    let text = SourceText {
        name: "a.yaml".to_owned(),
        text: "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 81}]}".to_owned(),
    };
    let (documents, _) = source::read(&text.text);
    let mut stock = Stock::default();
    stock.add_live(service("shop", "a"));
    stock.add_live(service("shop", "b"));
    assert!(documents.iter().flat_map(manifests).all(|manifest| stock.add_file(&text, manifest, "shop")));
    let made = make(&stock, setting(Some(&[])));
    let services = made.world.facts().services.clone().unwrap();
    let numbers: Vec<u16> = services.values().map(|service| service.ports[0].number).collect();
    assert_eq!(numbers, [81, 80]);
    assert_eq!(made.world.snapshot().services.size(), 2);
}

#[test]
fn what_was_not_listed_is_not_known() {
    let mut stock = Stock::default();
    stock.add_live(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}}));
    let facts = make(&stock, setting(Some(&["Pod", "Secret"]))).world.facts().clone();
    assert_eq!(facts.coverage, Coverage { services: true, workloads: false, config: true });
    assert!(facts.pods.is_none() && facts.secrets.is_none());
    assert_eq!(facts.deployments, Some(Default::default()));
    assert_eq!(facts.namespaces.unwrap()["shop"].labels, Labels::from([("a".to_owned(), "b".to_owned())]));

    let files = make(&Stock::default(), setting(None)).world.facts().clone();
    assert!(files.pods.is_none() && files.namespaces.is_none() && files.deployments.is_none());
    assert!(!files.coverage.workloads);
}

#[test]
fn an_object_of_a_wrong_shape_is_left_out_and_told() {
    let mut stock = Stock::default();
    stock.add_live(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}, "spec": 7}));
    let made = make(&stock, setting(None));
    assert_eq!(made.left_out.len(), 1);
    assert!(made.left_out[0].starts_with("Service b/a is left out: "), "{:?}", made.left_out);
}

#[tokio::test]
async fn a_cluster_is_listed_without_the_values_of_secrets() {
    let api = FakeApi::new();
    insert::<Service>(&api, service("shop", "web"));
    let secret = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "istio-system"},
        "type": "kubernetes.io/tls", "data": {"tls.crt": "c2VjcmV0", "tls.key": "c2VjcmV0"}})
    };
    insert::<Secret>(&api, secret("front"));
    insert::<Secret>(&api, secret("other"));
    let servers = json!({"servers": [{"tls": {"credentialName": "front"}}]});
    insert::<Gateway>(&api, json!({"metadata": {"name": "g", "namespace": "shop"}, "spec": servers}));
    let cluster = Cluster { client: api.client(), namespace: "default".to_owned() };
    let live = live::read(&cluster, "istio-system").await.unwrap();
    assert_eq!(live.unknown, []);
    let text = serde_json::to_string(&live.objects).unwrap();
    assert!(!text.contains("c2VjcmV0"), "{text}");

    let mut stock = Stock::default();
    live.objects.into_iter().for_each(|object| stock.add_live(object));
    let facts = make(&stock, setting(Some(&[]))).world.facts().clone();
    let secrets = facts.secrets.unwrap();
    let of = |name: &str| secrets[&ObjectRef::new("Secret", "istio-system", name)].clone();
    assert_eq!(of("front").keys, Some(vec!["tls.crt".to_owned(), "tls.key".to_owned()]));
    assert_eq!((of("front").kind.as_str(), of("other").keys), ("kubernetes.io/tls", None));
    assert_eq!(facts.services.unwrap().len(), 1);
}

#[tokio::test]
async fn what_may_not_be_listed_is_told_and_the_rest_is_analyzed() {
    let api = FakeApi::new();
    insert::<Service>(&api, service("shop", "web"));
    let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "pods is forbidden"});
    let answer = refused.clone();
    api.answer(move |call| (call.target.plural == "pods").then(|| (403, answer.clone())));
    let cluster = Cluster { client: api.client(), namespace: "default".to_owned() };
    let live = live::read(&cluster, "istio-system").await.unwrap();
    let kinds: Vec<&str> = live.unknown.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["Pod"]);
    assert_eq!(live.unknown[0].1.exit, Exit::Forbidden);

    api.answer(move |_| Some((403, refused.clone())));
    assert_eq!(live::read(&cluster, "istio-system").await.unwrap_err().exit, Exit::Forbidden);
}
