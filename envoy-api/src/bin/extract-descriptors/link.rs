//! Picks the API's files and all that they import, and puts them in an order in which each follows its imports.

use std::collections::{BTreeMap, BTreeSet};

use crate::scan::Descriptor;

/// The API's own files; what they import comes along.
const ROOTS: [&str; 5] = ["envoy/", "google/", "opentelemetry/", "udpa/", "xds/"];

/// The files of the API.
#[derive(Debug)]
pub(crate) struct Api<'a> {
    /// Each after all that it imports, otherwise by name.
    pub(crate) files: Vec<&'a Descriptor<'a>>,
    /// Files that can't be used, each with an import of it that is absent.
    pub(crate) left_out: BTreeMap<&'a str, &'a str>,
}

/// Why files can't be put in an order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Imports that come back to their start, which protobuf forbids.
    #[error("{0} imports itself")]
    Cycle(String),
}

/// The API among `found`.
pub(crate) fn api<'a>(found: &'a BTreeMap<String, Descriptor<'a>>) -> Result<Api<'a>, LinkError> {
    let mut linker = Linker { found, done: BTreeMap::new(), under_way: BTreeSet::new(), files: Vec::new() };
    for name in found.keys().filter(|name| ROOTS.iter().any(|root| name.starts_with(root))) {
        linker.link(name)?;
    }
    let left_out = linker.done.into_iter().filter_map(|(file, missing)| Some((file, missing?))).collect();
    Ok(Api { files: linker.files, left_out })
}

/// A `FileDescriptorSet` of `files`, made of their bytes as found: decoding would drop the options that say which
/// values are sensitive, deprecated or limited.
pub(crate) fn encode_set(files: &[&Descriptor<'_>]) -> Vec<u8> {
    let mut set = Vec::new();
    for descriptor in files {
        prost::encoding::bytes::encode(1, &descriptor.raw.to_vec(), &mut set);
    }
    set
}

struct Linker<'a> {
    found: &'a BTreeMap<String, Descriptor<'a>>,
    /// Files seen, with the import that is missing below them.
    done: BTreeMap<&'a str, Option<&'a str>>,
    under_way: BTreeSet<&'a str>,
    files: Vec<&'a Descriptor<'a>>,
}

impl<'a> Linker<'a> {
    /// Adds a file after its imports; returns the import that is missing, if one is.
    fn link(&mut self, name: &'a str) -> Result<Option<&'a str>, LinkError> {
        if let Some(missing) = self.done.get(name) {
            return Ok(*missing);
        }
        let Some(descriptor) = self.found.get(name) else {
            return Ok(Some(name));
        };
        if !self.under_way.insert(name) {
            return Err(LinkError::Cycle(name.to_owned()));
        }
        let mut missing = None;
        let imports: BTreeSet<&str> = descriptor.file.dependency.iter().map(String::as_str).collect();
        for import in imports {
            missing = missing.or(self.link(import)?);
        }
        self.under_way.remove(name);
        if missing.is_none() {
            self.files.push(descriptor);
        }
        self.done.insert(name, missing);
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;

    fn found(files: &[(&str, &[&str])]) -> BTreeMap<String, Descriptor<'static>> {
        let descriptor = |(name, imports): &(&str, &[&str])| {
            let file = FileDescriptorProto {
                name: Some((*name).to_owned()),
                dependency: imports.iter().map(ToString::to_string).collect(),
                ..Default::default()
            };
            ((*name).to_owned(), Descriptor { raw: file.encode_to_vec().leak(), file })
        };
        files.iter().map(descriptor).collect()
    }

    #[test]
    fn files_follow_their_imports_and_strangers_stay_out() {
        let found = found(&[
            ("envoy/a.proto", &["xds/z.proto", "validate/v.proto"]),
            ("stranger.proto", &[]),
            ("validate/v.proto", &[]),
            ("xds/z.proto", &[]),
        ]);
        let api = api(&found).expect("linked");
        let set = FileDescriptorSet::decode(&encode_set(&api.files)[..]).expect("a set");
        let names: Vec<&str> = set.file.iter().map(FileDescriptorProto::name).collect();
        assert_eq!(names, ["validate/v.proto", "xds/z.proto", "envoy/a.proto"]);
        assert!(api.left_out.is_empty());
    }

    #[test]
    fn file_with_a_missing_import_is_left_out_with_all_that_import_it() {
        let found = found(&[("envoy/a.proto", &["envoy/b.proto"]), ("envoy/b.proto", &["gone.proto"]), ("envoy/c.proto", &[])]);
        let api = api(&found).expect("linked");
        assert_eq!(api.files.len(), 1);
        assert_eq!(api.left_out, BTreeMap::from([("envoy/a.proto", "gone.proto"), ("envoy/b.proto", "gone.proto")]));
    }

    #[test]
    fn cycle_is_refused() {
        let found = found(&[("envoy/a.proto", &["envoy/b.proto"]), ("envoy/b.proto", &["envoy/a.proto"])]);
        assert!(matches!(api(&found), Err(LinkError::Cycle(name)) if name == "envoy/a.proto"));
    }
}
