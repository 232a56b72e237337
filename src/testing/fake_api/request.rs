//! What a request asks for: resource, namespace, name, options.

use http::{Method, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{Key, selector::Selection};

/// One request, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// The query's parameters.
    pub(crate) query: BTreeMap<String, String>,
    /// The body; null when there is none.
    pub(crate) body: Value,
    pub(super) content_type: String,
    /// Whether metadata alone are asked for.
    pub(crate) metadata_only: bool,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    /// As in `configmaps`.
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    /// As in `status`.
    pub(crate) subresource: Option<String>,
}

// === impl Call ===

impl Call {
    pub(super) fn parse(parts: &http::request::Parts, body: &[u8]) -> Option<Self> {
        let header_text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Some(Self {
            method: parts.method.clone(),
            target: Target::parse(parts.uri.path())?,
            query: parse_query(parts.uri.query().unwrap_or_default()),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            content_type: header_text(header::CONTENT_TYPE),
            metadata_only: header_text(header::ACCEPT).contains("as=PartialObjectMetadata"),
        })
    }

    /// Whether it is a write, dry runs aside.
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET && !self.is_dry_run()
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.method == Method::GET && self.flag("watch")
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.query.contains_key("dryRun")
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value == "true" || value == "1")
    }

    pub(super) fn field_manager(&self) -> &str {
        self.query.get("fieldManager").map_or("unknown", String::as_str)
    }

    /// Which objects a list, watch or collection delete means.
    pub(super) fn selection(&self) -> Selection {
        let text = |name| self.query.get(name).map_or("", String::as_str);
        let mut selection = Selection::parse(text("labelSelector"), text("fieldSelector"));
        if let Some(name) = &self.target.name {
            selection.require_field("metadata.name", name);
        }
        selection
    }

    /// The object as this client wants it: whole, or its metadata.
    pub(super) fn shape(&self, object: Value) -> Value {
        if !self.metadata_only {
            return object;
        }
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
    }
}

// === impl Target ===

impl Target {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
        let (group, version) = match parts.next()?.as_str() {
            "api" => (String::new(), parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<String> = parts.collect();
        // `namespaces/x/pods` is in a namespace; `namespaces/x` and `namespaces/x/status` are the namespace.
        let of_namespace = |sub: &String| sub == "status" || sub == "finalize";
        let namespaced = rest.len() > 2 && rest[0] == "namespaces" && !of_namespace(&rest[2]);
        let namespace = namespaced.then(|| rest.drain(..2).nth(1)).flatten();
        let mut rest = rest.into_iter();
        Some(Self { group, version, plural: rest.next()?, namespace, name: rest.next(), subresource: rest.next() })
    }

    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key of the named object (or, without a name, of none).
    pub(super) fn key(&self) -> Key {
        Key::new(&self.group, &self.plural, self.namespace.as_deref().unwrap_or_default(), self.name.as_deref().unwrap_or_default())
    }

    pub(crate) fn is_status(&self) -> bool {
        self.subresource.as_deref() == Some("status")
    }
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

/// Percent decoding, and `+` for a space.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap_or("0"), 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
