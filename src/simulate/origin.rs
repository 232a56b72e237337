//! The object and field behind a part of a resource, as its metadata says.

use std::fmt;

use envoy_api::envoy::config::core::v3::Metadata;
use prost_types::{Struct, value::Kind};

use crate::model::ObjectRef;

/// An object, and as far as it is known the field, that decided something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The object.
    pub object: ObjectRef,
    /// The field, for example `spec.http[2].match[1]`.
    pub field: Option<String>,
}

/// Kinds by the word that stands for them in metadata.
const KINDS: [(&str, &str); 2] = [("virtual-service", "VirtualService"), ("destination-rule", "DestinationRule")];

// === impl Origin ===

impl Origin {
    /// An object of which no field is known.
    pub(super) fn of(object: &ObjectRef) -> Self {
        Self { object: object.clone(), field: None }
    }

    /// The rule that an alternative belongs to: `spec.http[2]` of `spec.http[2].match[1]`.
    pub(super) fn rule(&self) -> Self {
        let rule = self.field.as_deref().map(|field| field.split(".match[").next().unwrap_or(field).to_owned());
        Self { object: self.object.clone(), field: rule }
    }

    /// A part of the field, if that is known.
    pub(super) fn within(&self, part: &str) -> Self {
        Self { object: self.object.clone(), field: self.field.as_ref().map(|field| format!("{field}.{part}")) }
    }
}

/// `VirtualService shop/reviews spec.http[0]`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        self.field.as_ref().map_or(Ok(()), |field| write!(f, " {field}"))
    }
}

/// The objects of a kind among those that shaped a resource.
pub(super) fn of_kinds(sources: &[ObjectRef], kinds: &[&str]) -> Vec<Origin> {
    sources.iter().filter(|object| kinds.contains(&object.kind)).map(Origin::of).collect()
}

/// What made a route or a filter chain: the object, and the one to which that handed it. The field is the last one's.
pub(super) fn of_metadata(metadata: Option<&Metadata>) -> Vec<Origin> {
    let Some(fields) = istio(metadata) else { return Vec::new() };
    let field = text(fields, "field").map(|field| format!("spec.{field}"));
    let mut origins: Vec<Origin> = ["config", "delegate"]
        .into_iter()
        .filter_map(|name| object(text(fields, name)?))
        .map(|object| Origin { object, field: None })
        .collect();
    if let Some(last) = origins.last_mut() {
        last.field = field;
    }
    origins
}

/// A subset's name in a cluster's metadata.
pub(super) fn subset(metadata: Option<&Metadata>) -> Option<&str> {
    text(istio(metadata)?, "subset")
}

fn istio(metadata: Option<&Metadata>) -> Option<&Struct> {
    metadata?.filter_metadata.get("istio")
}

fn text<'a>(fields: &'a Struct, name: &str) -> Option<&'a str> {
    match fields.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The object of `/apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME`.
fn object(path: &str) -> Option<ObjectRef> {
    let mut parts = path.rsplit('/');
    let (name, word, namespace) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, kind) = KINDS.iter().find(|(known, _)| *known == word)?;
    Some(ObjectRef::new(kind, namespace, name))
}
