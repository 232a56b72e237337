//! Generates the Rust form of the part of Envoy's API that `roots.txt` names.
//!
//! All of it would take half as long again to compile; reflection covers the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const DESCRIPTORS: &str = "descriptors.binpb";
const ROOTS: &str = "roots.txt";

/// Imports that only declare options of other declarations: no message refers to them.
const OPTIONS_ONLY: [&str; 4] = ["envoy/annotations/", "udpa/annotations/", "validate/", "xds/annotations/"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={DESCRIPTORS}");
    println!("cargo::rerun-if-changed={ROOTS}");
    let set = FileDescriptorSet::decode(&fs::read(DESCRIPTORS)?[..])?;
    let roots = fs::read_to_string(ROOTS)?;
    let set = closure(set, &roots)?;

    let mut config = tonic_prost_build::Config::new();
    // Order by key, so that a message has one encoding and resources can be compared by their bytes.
    config.btree_map(["."]);
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    config.disable_comments(["."]);
    config.include_file("envoy_api.rs");
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds_with_config(set, config)?;
    Ok(())
}

/// The files of `roots` and all that they import.
fn closure(set: FileDescriptorSet, roots: &str) -> Result<FileDescriptorSet, String> {
    let files: BTreeMap<String, FileDescriptorProto> = set.file.into_iter().map(|file| (file.name().to_owned(), file)).collect();
    let mut wanted: Vec<&str> = roots.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut taken = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if OPTIONS_ONLY.iter().any(|folder| name.starts_with(folder)) || !taken.insert(name) {
            continue;
        }
        let file = files.get(name).ok_or_else(|| format!("{ROOTS} leads to {name}, which {DESCRIPTORS} does not hold"))?;
        wanted.extend(file.dependency.iter().map(String::as_str));
    }
    Ok(FileDescriptorSet { file: taken.into_iter().map(|name| files[name].clone()).collect() })
}
