//! Names: of configuration objects, of hosts with wildcards, and of whom an object is exported to.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Labels of a workload or a selector. Ordered, because their order reaches output.
pub type Labels = BTreeMap<String, String>;

/// The object that a piece of configuration came from: what provenance, blame and messages name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The kind as users write it, for example `VirtualService`.
    pub kind: &'static str,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// A reference from its three parts.
    pub fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// `VirtualService shop/reviews`, the form in which every message names an object.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {}/{}", self.kind, namespace, self.name),
        }
    }
}

/// A host as configuration names it: a fully qualified name, a name with a leading wildcard label (`*.example.com`), or `*`.
/// Always lower case. Short names are resolved against their object's namespace before they get here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern(Arc<str>);

impl HostPattern {
    /// Wraps a host that the parser has already checked; folds it to lower case.
    pub fn new(host: &str) -> Self {
        Self(host.to_ascii_lowercase().into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern has a wildcard.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every host that `other` stands for is one that this pattern stands for.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => other.0.trim_start_matches('*').ends_with(suffix),
            None => self == other,
        }
    }

    /// Whether some host matches both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of `exportTo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Visibility {
    /// `*`: every namespace.
    Public,
    /// `.`: the object's own namespace.
    Private,
    /// `~`: nobody.
    None,
    /// One namespace by name.
    Namespace(Arc<str>),
}

impl From<&str> for Visibility {
    fn from(text: &str) -> Self {
        match text {
            "*" => Self::Public,
            "." => Self::Private,
            "~" => Self::None,
            namespace => Self::Namespace(namespace.into()),
        }
    }
}

impl From<String> for Visibility {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Visibility> for String {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => "*".to_owned(),
            Visibility::Private => ".".to_owned(),
            Visibility::None => "~".to_owned(),
            Visibility::Namespace(namespace) => namespace.to_string(),
        }
    }
}

/// To whom an object is visible. Empty means the mesh's default, which is everyone unless the mesh's settings say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExportTo(pub Vec<Visibility>);

impl ExportTo {
    /// This, or where it does not say that one.
    pub fn or<'a>(&'a self, default: &'a Self) -> &'a Self {
        if self.0.is_empty() { default } else { self }
    }

    /// Whether an object of namespace `own` is visible in namespace `viewer`.
    pub fn visible(&self, own: &str, viewer: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|v| match v {
                Visibility::Public => true,
                Visibility::Private => own == viewer,
                Visibility::None => false,
                Visibility::Namespace(n) => &**n == viewer,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_deeper_names_and_narrower_wildcards_but_not_its_bare_suffix() {
        let wide = HostPattern::new("*.Example.com");
        assert!(wide.covers(&HostPattern::new("a.b.example.com")));
        assert!(wide.covers(&HostPattern::new("*.b.example.com")));
        assert!(!wide.covers(&HostPattern::new("example.com")));
        assert!(HostPattern::new("*").covers(&wide));
        assert!(!HostPattern::new("a.example.com").covers(&wide));
    }

    #[test]
    fn export_to_own_namespace_hides_from_others() {
        let private = ExportTo(vec![Visibility::Private]);
        assert!(private.visible("shop", "shop"));
        assert!(!private.visible("shop", "web"));
        assert!(ExportTo::default().visible("shop", "web"));
    }
}
