//! Process 1 with an Envoy that misbehaves.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use tempfile::TempDir;

use crate::{
    authority::Authority,
    page::eventually,
    pod::{Pod, Shape},
};

/// A script that is started as Envoy; it notes each start in the file `starts` of its working directory.
fn pretended(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy");
    fs::write(&path, format!("#!/bin/sh\necho $$ >> starts\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

pub(crate) fn with_envoy(script: &str, before: Option<&str>, test: impl FnOnce(Pod)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::start());
    let (_folder, envoy) = pretended(script);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    test(Pod::start(&Shape { authority: &authority, pilot: nobody, envoy: &envoy, lifetime: "1h", drain: "0s", before, env: &[] }));
    runtime.shutdown_background();
}

fn starts(pod: &Pod) -> usize {
    fs::read_to_string(pod.folder.path().join("proxy/starts")).unwrap_or_default().lines().count()
}

#[test]
fn an_envoy_that_falls_is_started_again_and_again() {
    with_envoy("exit 1", None, |mut pod| {
        eventually("three starts", || (starts(&pod) >= 3).then_some(()));
        pod.terminate();
        assert!(pod.ended(Duration::from_secs(10)).success());
    });
}

#[test]
fn an_envoy_that_does_not_end_is_killed() {
    with_envoy("trap '' TERM; while :; do sleep 0.1; done", None, |mut pod| {
        eventually("a start", || (starts(&pod) == 1).then_some(()));
        pod.terminate();
        assert!(pod.ended(Duration::from_secs(15)).success());
    });
}

#[test]
fn envoy_waits_for_a_certificate_and_for_the_bootstrap() {
    with_envoy("test -s envoy-bootstrap.pb && echo there > seen; exec sleep 1000", None, |pod| {
        let seen = pod.folder.path().join("proxy/seen");
        eventually("envoy finds its bootstrap", || seen.exists().then_some(()));
        assert_eq!(starts(&pod), 1);
    });
}
