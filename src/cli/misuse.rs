//! Wrong input to the command line: each error says what to do, and ends with the code of its sort.

use serde_json::json;
use std::{fs, io, path::Path};
use tempfile::TempDir;

use super::{
    CommandLine, Environment, Exit, Streams, run_with,
    tests::{PIPE, Run, run, run_on},
};
use crate::testing::fake_api::FakeApi;

/// A folder with files of all sorts that are none of ours.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let kubeconfig = |server: &str| {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "a", "clusters": [{"name": "a", "cluster": {"server": server}}],
            "users": [{"name": "a", "user": {}}], "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]})
        .to_string()
    };
    let files: [(&str, Vec<u8>); 8] = [
        ("empty.yaml", Vec::new()),
        ("binary.yaml", vec![0x80, 0, 1]),
        ("list.yaml", b"- 1\n- 2\n".to_vec()),
        ("tabs.yaml", b"a:\n\tb: 1\n".to_vec()),
        ("deep.yaml", [b"a: ".to_vec(), vec![b'['; 5000], vec![b']'; 5000]].concat()),
        ("chooses-none.kubeconfig", b"apiVersion: v1\nkind: Config\n".to_vec()),
        ("no-url.kubeconfig", kubeconfig("localhost").into_bytes()),
        ("nobody.kubeconfig", kubeconfig("http://127.0.0.1:1").into_bytes()),
    ];
    files.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
    fs::create_dir(folder.path().join("folder")).unwrap();
    folder
}

/// A command line with files of a folder, `DIR/…`.
fn with_files(folder: &Path, command: &str) -> Run {
    run(&command.replace("DIR", &folder.display().to_string()), "")
}

/// Asserts how command lines end, and what their errors say.
fn assert_ends(cases: &[(&str, Exit, &str)]) {
    let folder = folder();
    for (command, exit, wanted) in cases {
        let told = with_files(folder.path(), command);
        assert_eq!(told.exit, *exit, "{command}: {told:?}");
        // Findings about files are what some verbs answer.
        assert!(format!("{}{}", told.stdout, told.stderr).contains(wanted), "{command}: {told:?}");
    }
}

#[test]
fn files_that_can_not_be_read_are_named_with_what_is_wrong() {
    let (usage, unreadable) = (Exit::Usage, Exit::Unreadable);
    let verbs =
        ["validate", "analyze --use-kube=false", "manifest generate -f", "verify-install -f", "install -f", "upgrade -f", "images -f"];
    let inject = "kube-inject -f DIR/list.yaml --meshConfigFile";
    for verb in verbs.into_iter().chain(["x uninject -f", "proxy-config listener --file", "profile diff default"]) {
        let of = |file: &str| format!("{verb} DIR/{file}");
        assert_ends(&[(&of("binary.yaml"), unreadable, "binary.yaml is no UTF-8 text: byte 0 is wrong")]);
        if !verb.starts_with("profile") {
            assert_ends(&[(&of("none.yaml"), usage, "there is no file "), (&of("folder"), usage, "folder")]);
        }
        if !verb.starts_with("proxy-config") {
            assert_ends(&[(&of("tabs.yaml"), unreadable, "tabs disallowed"), (&of("deep.yaml"), unreadable, "recursion limit")]);
        }
    }
    assert_ends(&[
        (&format!("{inject} DIR/binary.yaml --valuesFile DIR/empty.yaml"), unreadable, "binary.yaml is no UTF-8 text: byte 0 is wrong"),
        (&format!("{inject} DIR/none.yaml --valuesFile DIR/empty.yaml"), usage, "there is no file "),
        (&format!("{inject} DIR/folder --valuesFile DIR/empty.yaml"), usage, "it is a directory"),
        (&format!("{inject} DIR/list.yaml --valuesFile DIR/empty.yaml"), unreadable, "list.yaml is not understood: line 1 column 1"),
        ("proxy-config listener --file DIR/empty.yaml", unreadable, "is no dump of Envoy's configuration"),
        ("validate DIR/empty.yaml", Exit::Clean, "note: there is no object in what was named"),
        ("validate -", Exit::Clean, "note: there is no object in what was named"),
        ("analyze --use-kube=false --meshConfigFile DIR/binary.yaml DIR/list.yaml", unreadable, "is no UTF-8 text"),
    ]);
}

#[test]
fn wrong_words_are_told_before_a_cluster_is_asked() {
    assert_ends(&[
        ("install --set profile", Exit::Usage, "profile"),
        ("install --set profile=nope", Exit::Usage, "spec.profile"),
        ("install --set nosuch.field=1", Exit::Usage, "has no field \"nosuch\""),
        ("upgrade --set nosuch.field=1", Exit::Usage, "has no field \"nosuch\""),
        ("manifest apply -f DIR/list.yaml", Exit::Usage, "describes no installation"),
        ("operator init --revisions A", Exit::Usage, "lower-case letters"),
        ("proxy-config cluster a/b", Exit::Usage, "deploy/NAME"),
        ("proxy-config cluster web?x", Exit::Usage, "deploy/NAME"),
        ("why nack ../web", Exit::Usage, "deploy/NAME"),
        ("rollout --max-workloads 0", Exit::Usage, "1..=65535"),
        ("check --timeout soon", Exit::Usage, "write for example 30s or 5m"),
        ("bug-report -d DIR/folder", Exit::Usage, "is there already, and stays as it is: name another folder, -d FOLDER"),
        ("bug-report -d DIR/none/report --kubeconfig DIR/nobody.kubeconfig", Exit::Failed, "can't write "),
    ]);
}

#[test]
fn what_is_no_namespace_is_not_asked_about() {
    let verbs = [
        "analyze -n",
        "bug-report -n",
        "check -n",
        "check -i",
        "dashboard envoy web -n",
        "proxy-config cluster web -n",
        "proxy-status -n",
        "rollout -n",
        "rollout -i",
        "validate -n",
        "why nack web -n",
        "x add-to-mesh deployment web -n",
        "x check-inject web -n",
        "operator init --operatorNamespace",
    ];
    for verb in verbs {
        for name in ["a/../b", "Shop", "a?b"] {
            assert_ends(&[(&format!("{verb} {name}"), Exit::Usage, "a namespace's name is lower-case letters, digits and -, 63 at most")]);
        }
    }
}

/// Verbs that ask a cluster, whatever else they do.
const ASKING: [&str; 17] = [
    "install",
    "upgrade",
    "verify-install",
    "uninstall",
    "operator init",
    "operator remove",
    "check",
    "analyze",
    "rollout",
    "tag list",
    "why web.shop http://web/",
    "proxy-status",
    "proxy-config cluster web.shop",
    "x check-inject web",
    "dashboard grafana",
    "images --digests",
    "plan",
];

#[test]
fn without_a_cluster_each_verb_says_where_one_is_named() {
    for verb in ASKING {
        let of = |rest: &str| format!("{verb} {rest}");
        assert_ends(&[
            (&of("--kubeconfig DIR/none"), Exit::Unreachable, "none: name a kubeconfig by --kubeconfig or $KUBECONFIG\n"),
            (&of("--kubeconfig DIR/folder"), Exit::Unreachable, "folder can't be read: "),
            (&of("--kubeconfig DIR/binary.yaml"), Exit::Unreachable, "binary.yaml can't be read: "),
            (&of("--kubeconfig DIR/list.yaml"), Exit::Unreachable, "no cluster to ask: the kubeconfig is no kubeconfig: line 1 column 1"),
            (&of("--kubeconfig DIR/chooses-none.kubeconfig"), Exit::Unreachable, "chooses no context: name one by --context\n"),
            (&of("--kubeconfig DIR/nobody.kubeconfig --context b"), Exit::Unreachable, "no context b: kubectl config get-contexts\n"),
            (&of("--kubeconfig DIR/no-url.kubeconfig"), Exit::Unreachable, "is the kubeconfig's server: write https://HOST:PORT there\n"),
            (&of("--kubeconfig DIR/nobody.kubeconfig"), Exit::Unreachable, "onnection refused"),
        ]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_nothing_is_told_so_by_each_verb_and_nothing_is_written() {
    let api = FakeApi::new();
    let refused =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "jane may not"});
    api.answer(move |_| Some((403, refused.clone())));
    for verb in ASKING {
        let told = run_on(&api, PIPE, verb, "").await;
        // What one check may not read another one may.
        let wanted = if verb == "check" { Exit::Failed } else { Exit::Forbidden };
        assert_eq!(told.exit, wanted, "{verb}: {told:?}");
        assert!(format!("{}{}", told.stdout, told.stderr).contains("jane may not"), "{verb}: {told:?}");
    }
    let told = run_on(&api, PIPE, "check", "").await;
    assert!(told.stderr.starts_with("note: whether there is a MeshInstall is not known (can't list meshinstalls: "), "{told:?}");
    assert!(told.stderr.ends_with("error: no check could be run: ask with the right to read what they look at\n"), "{told:?}");
    assert!(api.calls().iter().all(|call| !call.is_write() || call.target.plural == "selfsubjectaccessreviews"));
}

/// A place in which nothing can be written, for a reason.
struct Broken(io::ErrorKind);

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run_into(command: &str, kind: io::ErrorKind) -> (Exit, String) {
    let words = ["ferromesh"].into_iter().chain(command.split(' ')).map(std::ffi::OsString::from);
    let mut stderr = Vec::new();
    let streams = Streams { stdin: &mut io::empty(), stdout: &mut Broken(kind), stderr: &mut stderr };
    (run_with(words, &Environment { ..PIPE }, streams), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    for command in ["explain", "manifest generate", "profile dump", "completion bash", "--help", "operator init --dump", "images"] {
        assert_eq!(run_into(command, io::ErrorKind::BrokenPipe), (Exit::Clean, String::new()), "{command}");
        let (exit, told) = run_into(command, io::ErrorKind::StorageFull);
        assert!(exit == Exit::Failed && told.starts_with("error: can't write the answer: "), "{command}: {told}");
    }
}

/// The verbs below a command that have none below them.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let mut verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help").peekable();
    if verbs.peek().is_none() {
        found.push(path.trim().to_owned());
    }
    verbs.for_each(|verb| leaves(verb, &format!("{path} {}", verb.get_name()), found));
}

#[test]
fn every_verb_refuses_a_flag_that_it_has_not_and_shows_how_it_is_used() {
    let mut command = <CommandLine as clap::CommandFactory>::command();
    command.build();
    let mut verbs = Vec::new();
    leaves(&command, "", &mut verbs);
    assert!(verbs.len() > 40, "{verbs:?}");
    for verb in verbs {
        let told = run(&format!("{verb} --no-such-flag"), "");
        assert_eq!((told.exit, told.stdout.as_str()), (Exit::Usage, ""), "{verb}");
        assert!(told.stderr.contains("--no-such-flag") && told.stderr.contains("Usage: "), "{verb}: {}", told.stderr);
    }
}
