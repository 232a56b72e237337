//! The samples of Istio 1.4 that users have, one after another.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    cluster::{ingress_gateway, service},
    scene::Scene,
};
use crate::testing::{bootstrap::Static, envoy::validate, skip};

#[test]
fn envoy_takes_what_is_made_of_each_sample() {
    let shared = env::var_os("FERROMESH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let Ok(folder) = fs::read_dir(shared.join("samples/bookinfo-1.4/networking")) else {
        return skip("dataplane", &format!("{} is absent; FERROMESH_SHARED names another place", shared.display()));
    };
    let versions = |names: &[&'static str]| -> Vec<(&'static str, u16)> { names.iter().map(|version| (*version, 9080)).collect() };
    let backends = [
        service("default", "productpage", "http:9080", &versions(&["v1"])),
        service("default", "details", "http:9080", &versions(&["v1", "v2"])),
        service("default", "reviews", "http:9080", &versions(&["v1", "v2", "v3"])),
        service("default", "ratings", "http:9080", &versions(&["v1", "v2-mysql", "v2-mysql-vm"])),
        ingress_gateway(),
    ]
    .concat();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let yaml = fs::read_to_string(&file).unwrap();
        let scene = Scene::of(&format!("{backends}\n---\n{yaml}"));
        let pod = if yaml.contains("kind: Gateway") { "istio-system/gateway" } else { "default/productpage-v1" };
        let compiled = scene.compiled(pod);
        validate(&Static::of(&compiled).bootstrap()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
