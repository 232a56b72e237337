//! What shells and kubectl are told.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use serde_json::json;
use std::ffi::OsString;
use tempfile::TempDir;

use super::{VARIABLE, complete};
use crate::cli::{
    Exit, Streams,
    tests::{PIPE, run, run_as},
};
use crate::testing::fake_api::FakeApi;

/// What kubectl is told of these words, the last of which is being typed.
fn candidates(words: &[&str]) -> Vec<String> {
    let told = run_as(super::KUBECTL, &PIPE, words, "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let lines = told.stdout.strip_suffix(":4\n").unwrap_or_else(|| panic!("{told:?}"));
    lines.lines().map(|line| line.split('\t').next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn each_shell_gets_a_script_that_asks_this_program() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&format!("completion {shell}"), "");
        assert!(script.exit == Exit::Clean && script.stdout.contains(VARIABLE), "{shell}: {script:?}");
    }
    assert_eq!(run("completion tcsh", "").exit, Exit::Usage);
}

#[test]
fn a_shells_script_is_answered_with_a_line_for_each_candidate() {
    let ask = |words: &[&str]| {
        let (mut stdin, mut stdout, mut stderr) = (&b""[..], Vec::new(), Vec::new());
        let mut streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
        let exit = complete("fish", words.iter().map(OsString::from).collect(), None, &mut streams);
        (exit, String::from_utf8(stdout).unwrap())
    };
    let (exit, verbs) = ask(&["/bin/ferromesh", "--", "ferromesh", "rol"]);
    assert!(exit == Exit::Clean && verbs.starts_with("rollout\tRestart the workloads") && verbs.lines().count() == 1, "{verbs}");
    assert_eq!(ask(&["/bin/ferromesh"]).0, Exit::Failed, "no words, no answer");
}

#[test]
fn names_that_need_no_cluster_are_known_without_one() {
    assert_eq!(candidates(&["explain", "FM010"]).first().map(String::as_str), Some("FM0101"));
    assert_eq!(candidates(&["profile", "dump", "de"]), ["default", "demo"]);
    assert_eq!(candidates(&["install", "--set", "profile=de"]), ["profile=default", "profile=demo"]);
    assert_eq!(
        candidates(&["install", "--set", "components.citadel.en"]),
        ["components.citadel.enabled=true", "components.citadel.enabled=false", "components.citadel.env["]
    );
    assert_eq!(candidates(&["manifest", "generate", "--set", "profile=demo,mode=P"]), ["profile=demo,mode=Plan"]);
    assert!(candidates(&["proxy-config", "cl"]).contains(&"cluster".to_owned()));
    assert_eq!(candidates(&["version", "-o", "y"]), ["yaml"]);
    assert_eq!(candidates(&["rollout", "--max-w"]), ["--max-workloads"]);
    let folder = TempDir::new().unwrap();
    let unreachable = folder.path().join("none").display().to_string();
    assert_eq!(candidates(&["proxy-status", "--kubeconfig", &unreachable, "we"]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_cluster_are_those_that_it_has() {
    let api = FakeApi::new();
    for name in ["shop", "stage"] {
        api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": name}})).unwrap());
    }
    for (namespace, name) in [("default", "web-0"), ("default", "db-0"), ("shop", "web-1"), ("shop", "web-2")] {
        let pod = json!({"metadata": {"namespace": namespace, "name": name}});
        api.insert::<Pod>(&serde_json::from_value(pod).unwrap());
    }
    let deployment = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"selector": {}, "template": {}}});
    api.insert::<Deployment>(&serde_json::from_value(deployment).unwrap());
    for (name, revision, tags) in [("mesh", "", json!({"prod": "canary"})), ("mesh-canary", "canary", json!({}))] {
        let mesh = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": name},
            "spec": {"revision": revision, "tags": tags}});
        api.insert::<MeshInstall>(&serde_json::from_value(mesh).unwrap());
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("kubeconfig").display().to_string();
    std::fs::write(&file, api.kubeconfig().await.to_string()).unwrap();
    let told = async |line: &str| {
        let line = line.replace("CLUSTER", &format!("--kubeconfig {file}"));
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || candidates(&words.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
    };
    assert_eq!(told("proxy-status CLUSTER web").await, ["web-0"], "of the context's namespace");
    assert_eq!(told("proxy-config cluster CLUSTER -n shop ").await, ["web-1", "web-2"], "of the one that is named");
    assert_eq!(told("proxy-status CLUSTER web-1.").await, ["web-1.shop"]);
    assert_eq!(told("dashboard envoy CLUSTER --namespace=shop deploy/").await, ["deploy/web"]);
    assert_eq!(told("check CLUSTER -n sh").await, ["shop"]);
    assert_eq!(told("tag remove CLUSTER p").await, ["prod"]);
    assert_eq!(told("tag set prod CLUSTER --revision ").await, ["default", "canary"]);
    assert_eq!(told("check CLUSTER --context ").await.len(), 1);
    assert_eq!(told("experimental add-to-mesh deployment CLUSTER -n shop ").await, ["web"]);
}
