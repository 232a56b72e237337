//! What is known of an installation without a cluster.

use ferromesh_crds::MeshInstallSpec;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::yaml_documents;
use crate::cli::{Exit, tests::run};
use crate::operator::{Images, generate};

#[test]
fn profiles_are_listed_dumped_and_compared() {
    let list = run("profile list", "");
    assert!(list.stdout.starts_with("NAME     DESCRIPTION\ndefault  the control plane and an ingress gateway\n"), "{list:?}");
    insta::assert_snapshot!("profile_gateways", run("profile dump demo -p gateways.egress", "").stdout);
    insta::assert_snapshot!("profile_diff", run("profile diff default minimal", "").stdout);
    assert_eq!(run("profile diff default minimal --exit-code", "").exit, Exit::Findings);
    assert_eq!(run("profile diff demo demo --exit-code", "").stdout, "no differences\n");
    let set = run("profile dump --set profile=minimal,components.pilot.replicas=3 -p components.pilot.replicas -o json", "");
    assert_eq!((set.exit, set.stdout.trim()), (Exit::Clean, "3"));
    let unknown = run("profile dump dmeo", "");
    assert_eq!(
        (unknown.exit, unknown.stderr.as_str()),
        (Exit::Usage, "error: there is no profile \"dmeo\": there are default, demo, minimal, sds, remote\n")
    );
}

#[test]
fn a_manifest_begins_with_the_meshinstall_and_has_what_the_operator_applies() {
    let told = run("manifest generate --set profile=demo", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let documents = yaml_documents(&told.stdout);
    assert_eq!(documents[0]["kind"], "MeshInstall");
    assert_eq!(documents[0]["spec"], json!({"profile": "demo"}));
    let spec: MeshInstallSpec = serde_json::from_value(json!({"profile": "demo"})).unwrap();
    let planned = generate(&spec, &Images::published(), "ferromesh-system").unwrap();
    assert_eq!(documents[1..], planned);
    let list: Value = serde_json::from_str(&run("manifest generate -o json", "").stdout).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"][0]["kind"].as_str()), (Some("List"), Some("MeshInstall")));
}

#[test]
fn each_object_can_have_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    let told = run(&format!("manifest generate -d {}", folder.path().display()), "");
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Clean, ""));
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names[0], "00-meshinstall-mesh.yaml");
    assert!(told.stderr.starts_with(&format!("{} objects written to", names.len())), "{}", told.stderr);
}

#[test]
fn what_describes_no_installation_is_refused_with_all_reasons() {
    let refused = |arguments: &str, stdin: &str| {
        let told = run(&format!("manifest generate {arguments}"), stdin);
        assert_eq!((told.exit, told.stdout.as_str()), (Exit::Usage, ""), "{told:?}");
        told.stderr
    };
    assert!(refused("--set global.mtls.enabled=true", "").contains("did you mean \"values.global.mtls.enabled\"?"));
    assert!(refused("--set profil=demo", "").contains("did you mean \"profile\"?"));
    let both = refused("--set profile=huge,components.pilot.replicas=x", "");
    assert!(both.contains("error: spec.profile: ") && both.contains("error: spec.components.pilot.replicas: "), "{both}");
    assert!(refused("--set values.mixer.enabled=true", "").contains("spec.values.mixer.enabled"));
    assert!(refused("-f -", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n").contains("stdin:1: Service describes no installation"));
    let of_istio = "apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {profile: demo, gateways: {x: 1}}\n";
    assert!(refused("-f -", of_istio).contains("IstioControlPlane: spec.gateways.x has no counterpart"));
}

#[test]
fn later_files_count_more_and_set_most() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    let mesh = "apiVersion: install.ferromesh.dev/v1alpha1\nkind: MeshInstall\nmetadata: {name: own}\n";
    std::fs::write(&first, format!("{mesh}spec: {{profile: minimal, hub: first, tag: first}}\n")).unwrap();
    std::fs::write(
        &second,
        "apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {tag: second, defaultNamespace: mesh, hub: second}\n",
    )
    .unwrap();
    let told = run(&format!("manifest generate -f {} -f {} --set tag=1.10", first.display(), second.display()), "");
    let documents = yaml_documents(&told.stdout);
    assert_eq!(documents[0]["metadata"]["name"], "own");
    assert_eq!(documents[0]["spec"], json!({"profile": "minimal", "hub": "second", "tag": "1.10", "namespace": "mesh"}));
}

#[test]
fn manifests_are_compared_field_by_field() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, arguments: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, run(&format!("manifest generate {arguments}"), "").stdout).unwrap();
        path.display().to_string()
    };
    let first = file("first.yaml", "");
    let second = file("second.yaml", "--set components.pilot.replicas=2,gateways.ingress[istio-ingressgateway].enabled=false");
    let told = run(&format!("manifest diff {first} {second} --exit-code"), "");
    assert_eq!(told.exit, Exit::Findings);
    for line in ["Service istio-system/istio-ingressgateway: only in ", "Deployment istio-system/istio-pilot:\n", "  spec.replicas "] {
        assert!(told.stdout.contains(line), "{line}: {}", told.stdout);
    }
    let json: Value = serde_json::from_str(&run(&format!("manifest diff {first} {second} -o json"), "").stdout).unwrap();
    let pilot = json.as_array().unwrap().iter().find(|one| one["object"] == "Deployment istio-system/istio-pilot").unwrap();
    assert!(pilot["fields"].as_array().unwrap().contains(&json!({"path": "spec.replicas", "from": 1, "to": 2})), "{pilot}");
    let same = run(&format!("manifest diff {first} {first} --exit-code"), "");
    assert_eq!((same.exit, same.stdout.as_str()), (Exit::Clean, "no differences\n"));
    // As 1.4 ended, whose scripts know no --exit-code.
    let told = run(&format!("manifest diff {first} {second}"), "");
    assert!(told.exit == Exit::Clean && !told.stdout.contains("no differences"), "{told:?}");
    assert_eq!(run(&format!("manifest diff {first} -"), "a: [").exit, Exit::Unreadable);
}

#[test]
fn the_operators_objects_can_be_had_without_a_cluster() {
    let told = run("operator init --dump --hub registry.example/team --tag 7 --operatorNamespace elsewhere", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let documents = yaml_documents(&told.stdout);
    let deployment = documents.iter().find(|one| one["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["metadata"]["namespace"], "elsewhere");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/team/ferromesh:7");
}

#[test]
fn all_images_of_an_installation_are_listed() {
    let told = run("images --set profile=demo,hub=hub.example/team --tag 7", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    insta::assert_snapshot!("images", told.stdout);
}

#[test]
fn what_is_wrong_in_a_file_is_shown_with_its_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mesh.yaml").display().to_string();
    let mesh = "apiVersion: install.ferromesh.dev/v1alpha1\nkind: MeshInstall\nmetadata: {name: mesh}\nspec:\n  profile: default\n  components:\n    \
                pilot:\n      replicas: many\n";
    std::fs::write(&file, mesh).unwrap();
    for verb in ["manifest generate", "install", "plan"] {
        let told = run(&format!("{verb} -f {file}"), "");
        assert_eq!(told.exit, Exit::Usage, "{verb}: {told:?}");
        let at = format!("--> {file}:8:17\n8 |       replicas: many\n  |                 ^^^^\n");
        assert!(told.stderr.starts_with("error: spec.components.pilot.replicas: ") && told.stderr.contains(&at), "{verb}: {}", told.stderr);
    }
    let told = run("manifest generate --set gateways.ingress[0].service.ports[0].port=80", "");
    assert!(
        told.exit == Exit::Usage && told.stderr.contains(", write an item's name in the brackets, as in gateways.ingress["),
        "{told:?}"
    );
    // What --set says is in no line, and has been told by its path.
    let told = run(&format!("manifest generate -f {file} --set components.pilot.replicas=1,components.galley.replicas=x"), "");
    assert!(told.stderr.starts_with("error: spec.components.galley.replicas: ") && !told.stderr.contains("-->"), "{}", told.stderr);
}
