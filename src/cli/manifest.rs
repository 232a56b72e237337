//! Documents as Kubernetes objects: lists taken apart, and the words in which people are told of an object.

use serde_json::Value;
use std::io::Read;

use super::{
    exit::{Exit, Failure},
    input::{self, SourceText},
    source::{self, Content, Node},
};

/// One object of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manifest<'n> {
    pub(super) node: &'n Node,
    /// `apiVersion`; of the list around it, if it has none of its own.
    pub(super) api_version: Option<&'n str>,
    /// `kind`, likewise.
    pub(super) kind: Option<&'n str>,
}

/// Takes the objects of files, in their order, each with its place, as in `mesh.yaml:12`; of directories in directories if `recursive`.
///
/// # Errors
/// When a file can't be read, and that of `take`.
pub(super) fn each_of_files(
    names: &[String],
    recursive: bool,
    stdin: &mut dyn Read,
    mut take: impl FnMut(&str, Manifest<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    input::texts(names, recursive, stdin).try_for_each(|text| each_of_text(&text?, &mut take))
}

/// The same of one text.
///
/// # Errors
/// When it can't be understood, and that of `take`.
pub(super) fn each_of_text(text: &SourceText, mut take: impl FnMut(&str, Manifest<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let (documents, problems) = source::read(&text.text);
    if let Some(problem) = problems.first() {
        let message = format_args!("{}:{}: {}", text.name, problem.place.line, problem.message);
        return Err(Failure::new(Exit::Unreadable, message));
    }
    documents.iter().flat_map(manifests).try_for_each(|manifest| take(&format!("{}:{}", text.name, manifest.node.place.line), manifest))
}

/// The objects of a document: itself, or the items of a list, and of lists in it.
pub(super) fn manifests(document: &Node) -> Vec<Manifest<'_>> {
    let mut found = Vec::new();
    if !document.is_null() {
        take_apart(Manifest { node: document, api_version: document.text("apiVersion"), kind: document.text("kind") }, &mut found);
    }
    found
}

fn take_apart<'n>(manifest: Manifest<'n>, found: &mut Vec<Manifest<'n>>) {
    let item_kind = manifest.kind.and_then(|kind| kind.strip_suffix("List"));
    match (item_kind, manifest.node.get("items").map(|items| &items.content)) {
        (Some(item_kind), Some(Content::List(items))) => {
            // Items of a `ServiceList` may leave out what the list says; a `List` says nothing of its items.
            let typed = !item_kind.is_empty();
            for node in items {
                let api_version = node.text("apiVersion").or(manifest.api_version.filter(|_| typed));
                let kind = node.text("kind").or(Some(item_kind).filter(|_| typed));
                take_apart(Manifest { node, api_version, kind }, found);
            }
        }
        _ => found.push(manifest),
    }
}

// === impl Manifest ===

impl<'n> Manifest<'n> {
    /// The API group; empty for Kubernetes' oldest kinds.
    pub(super) fn group(&self) -> &'n str {
        self.api_version.and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    /// The version without the group.
    pub(super) fn version(&self) -> &'n str {
        self.api_version.map_or("", |version| version.split_once('/').map_or(version, |(_, version)| version))
    }

    pub(super) fn name(&self) -> Option<&'n str> {
        self.node.get("metadata")?.text("name")
    }

    pub(super) fn namespace(&self) -> Option<&'n str> {
        self.node.get("metadata")?.text("namespace").filter(|namespace| !namespace.is_empty())
    }

    /// The object as JSON, with the `apiVersion` and `kind` of its list.
    pub(super) fn to_value(self) -> Value {
        let mut value = self.node.to_value();
        if let Some(fields) = value.as_object_mut() {
            for (name, text) in [("apiVersion", self.api_version), ("kind", self.kind)] {
                if let Some(text) = text {
                    fields.entry(name).or_insert_with(|| text.into());
                }
            }
        }
        value
    }

    /// `VirtualService shop/reviews`, as far as its parts are there; `namespace` is that of objects that name none.
    pub(super) fn shown(&self, namespace: Option<&str>) -> Option<String> {
        let kind = self.kind?;
        let generated = || self.node.get("metadata").and_then(|metadata| metadata.text("generateName")).map(|prefix| format!("{prefix}*"));
        let name = self.name().map(str::to_owned).or_else(generated);
        Some(match (self.namespace().or(namespace), name) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (_, None) => kind.to_owned(),
        })
    }
}
