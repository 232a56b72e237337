//! A proxy whose volume can't be written: it says so, and starts once that has been mended.

use std::process::Command;

use crate::{page::eventually, pod::Pod, supervision::with_envoy};

/// An Envoy that does nothing.
const IDLE: &str = "while :; do sleep 0.1; done";

/// Changes the pod's volume, and waits until its Envoy runs.
fn mended(pod: &Pod, options: &str) {
    assert!(pod.envoy().is_none(), "an Envoy without a bootstrap can't do anything");
    let process = pod.process().to_string();
    let directory = pod.folder.path().join("proxy");
    let remounted = Command::new("nsenter").args(["--target", &process, "--mount", "mount", "-o", options]).arg(directory).status();
    assert!(remounted.unwrap().success());
    eventually("envoy runs", || pod.envoy());
}

#[test]
fn a_full_volume_is_named_and_waited_for() {
    with_envoy(IDLE, Some("mount -t tmpfs -o size=4k tmpfs \"$1\"; head -c 4096 /dev/zero > \"$1/full\""), |pod| {
        eventually("the error", || pod.log().contains("envoy-bootstrap.pb: its volume is full, give it more room").then_some(()));
        assert!(pod.log().contains("No space left on device"), "{}", pod.log());
        mended(&pod, "remount,size=1m");
    });
}

#[test]
fn a_read_only_volume_is_named_and_waited_for() {
    with_envoy(IDLE, Some("mount -t tmpfs -o ro tmpfs \"$1\""), |pod| {
        eventually("the error", || {
            pod.log().contains("it is on a read-only file system, mount a volume that can be written").then_some(())
        });
        mended(&pod, "remount,rw");
    });
}
