//! The pinned Envoy binary.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::skip;

/// The path of the Envoy that the project ships. Where it can't be had, `test` is noted as skipped, but not in CI.
pub(crate) fn envoy_for(test: &str) -> Option<PathBuf> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("images/envoy.sh")).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()));
    }
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(env::var("CI").as_deref() != Ok("true"), "CI needs the pinned Envoy: {reason}");
    skip(test, &format!("the pinned Envoy can't be had: {}", reason.trim_end()));
    None
}
