//! Responses become changes of the whole configuration: what a client holds, and what it has heard of the next state. Pure.
//!
//! Nothing is handed out before the last part of a set is in, and on a new stream not before every kind has been answered: galley may have
//! heard of some kinds before others, and would have sent those first.

use std::collections::{BTreeMap, BTreeSet};

use envoy_api::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    google::rpc::Status,
};
use ferromesh_crds::catalog::Kind;
use serde_json::Value;

use super::{
    carried::{Carried, names_of},
    part::{Part, PartError},
    type_url::{kind_of, type_url},
};
use crate::model::ObjectRef;

/// What leads from one state of the configuration to a later one. It is to be taken in as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSet {
    /// The changes, each kind once.
    pub kinds: Vec<KindChanges>,
}

/// The changes of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindChanges {
    /// The kind, as objects name it.
    pub kind: &'static str,
    /// Its group.
    pub group: &'static str,
    /// Whether this is all of the kind: what is not among it is gone.
    pub whole: bool,
    /// Objects as they are now, as the API server would show them.
    pub changed: Vec<Value>,
    /// Objects that are gone.
    pub removed: Vec<ObjectRef>,
}

/// A response, taken in.
#[derive(Debug)]
pub(super) struct Heard {
    /// What the server is told.
    pub(super) answer: DeltaDiscoveryRequest,
    /// What follows, if the set is whole now.
    pub(super) set: Option<ChangeSet>,
    /// How many resources came.
    pub(super) resources: usize,
    /// How many of them are no objects; their last good form stays.
    pub(super) unreadable: usize,
}

/// Why a stream can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("the server sent {0:?}, which it was not asked for")]
    Unasked(String),
    #[error("the server's nonce can't be read")]
    Nonce(#[from] PartError),
    #[error("the server sent part {next} after {last:?}")]
    Gap { next: Part, last: Option<Part> },
}

/// An object with its version, or that it is gone.
type News = Option<(String, Value)>;

/// What a client holds and hears.
pub(super) struct Assembly {
    kinds: Vec<&'static Kind>,
    /// Versions by name of what was handed out, by kind. Outlives streams.
    held: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Whether anything was handed out.
    begun: bool,
    /// What was heard since, by kind and name.
    heard: BTreeMap<&'static str, BTreeMap<String, News>>,
    /// Kinds that this stream has not been told of.
    unanswered: BTreeSet<&'static str>,
    last: Option<Part>,
}

/// The gRPC code of what makes no sense.
const INVALID_ARGUMENT: i32 = 3;
/// How many resources that are no objects are named to the server.
const NAMED: usize = 10;

// === impl Assembly ===

impl Assembly {
    /// One that holds nothing of these kinds.
    pub(super) fn new(kinds: Vec<&'static Kind>) -> Self {
        let held = kinds.iter().map(|kind| (kind.name, BTreeMap::new())).collect();
        Self { kinds, held, begun: false, heard: BTreeMap::new(), unanswered: BTreeSet::new(), last: None }
    }

    /// Begins a stream: what the server is asked. Of what an earlier stream left unfinished nothing stays.
    pub(super) fn begin(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.heard.clear();
        self.last = None;
        self.unanswered = self.kinds.iter().map(|kind| kind.name).collect();
        let request = |kind: &&'static Kind| DeltaDiscoveryRequest {
            type_url: type_url(kind),
            resource_names_subscribe: vec!["*".to_owned()],
            initial_resource_versions: self.held[kind.name].clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.kinds.iter().map(request).collect()
    }

    /// Takes in a response.
    ///
    /// # Errors
    /// When the server does not speak this protocol, or something got lost.
    pub(super) fn hear(&mut self, response: DeltaDiscoveryResponse) -> Result<Heard, ProtocolError> {
        let kind = kind_of(&response.type_url).filter(|kind| self.held.contains_key(kind.name));
        let kind = kind.ok_or_else(|| ProtocolError::Unasked(response.type_url.clone()))?;
        let part: Part = response.nonce.parse()?;
        if !part.follows(self.last) {
            return Err(ProtocolError::Gap { next: part, last: self.last });
        }
        self.last = Some(part);
        self.unanswered.remove(kind.name);

        let heard = self.heard.entry(kind.name).or_default();
        let (resources, mut problems) = (response.resources.len(), Vec::new());
        for resource in response.resources {
            match Carried::read(kind, &resource.name, resource.resource.as_ref()) {
                Ok(object) => _ = heard.insert(resource.name, Some((resource.version, object))),
                Err(error) => problems.push(error),
            }
        }
        heard.extend(response.removed_resources.into_iter().map(|name| (name, None)));

        let named: Vec<String> = problems.iter().take(NAMED).map(ToString::to_string).collect();
        let message = || format!("{} of {resources} resources can't be read: {}", problems.len(), named.join("; "));
        let error_detail = (!problems.is_empty()).then(|| Status { code: INVALID_ARGUMENT, message: message(), details: Vec::new() });
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        let set = (part.is_last() && self.unanswered.is_empty()).then(|| self.complete());
        Ok(Heard { answer, set, resources, unreadable: problems.len() })
    }

    /// Hands out what was heard.
    fn complete(&mut self) -> ChangeSet {
        let whole = !std::mem::replace(&mut self.begun, true);
        let mut set = ChangeSet::default();
        for kind in &self.kinds {
            let heard = self.heard.remove(kind.name).unwrap_or_default();
            if heard.is_empty() && !whole {
                continue;
            }
            let mut changes = KindChanges { kind: kind.name, group: kind.group, whole, changed: Vec::new(), removed: Vec::new() };
            let held = self.held.entry(kind.name).or_default();
            for (name, news) in heard {
                match news {
                    Some((version, object)) => {
                        held.insert(name, version);
                        changes.changed.push(object);
                    }
                    None => {
                        held.remove(&name);
                        let (namespace, name) = names_of(&name);
                        changes.removed.push(ObjectRef::new(kind.name, namespace, name));
                    }
                }
            }
            set.kinds.push(changes);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_api::envoy::service::discovery::v3::Resource;
    use ferromesh_crds::catalog;
    use prost::Name;
    use prost_types::Any;
    use serde_json::json;

    const GATEWAY: &str = "networking.istio.io/v1/Gateway";
    const ROUTES: &str = "networking.istio.io/v1/VirtualService";

    fn assembly() -> Assembly {
        let kinds = ["Gateway", "VirtualService"].map(|name| catalog::find("networking.istio.io", name).unwrap());
        let mut assembly = Assembly::new(kinds.into());
        assembly.begin();
        assembly
    }

    fn resource(name: &str, spec: &str) -> Resource {
        let carried = Carried::of(&json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"is": spec}}));
        let resource = Some(Any { type_url: crate::mcp::Resource::type_url(), value: carried.body.to_vec() });
        Resource { name: carried.name.to_string(), version: carried.version.to_string(), resource, ..Resource::default() }
    }

    fn response(type_url: &str, nonce: &str, resources: Vec<Resource>, removed: &[&str]) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            nonce: nonce.to_owned(),
            resources,
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        }
    }

    /// A set in short: `Gateway* +a -b` a kind, with a star where it is whole.
    fn shown(set: &ChangeSet) -> Vec<String> {
        let shown = |kind: &KindChanges| {
            let changed = kind
                .changed
                .iter()
                .map(|object| format!(" +{}={}", object["metadata"]["name"].as_str().unwrap(), object["spec"]["is"].as_str().unwrap()));
            let removed = kind.removed.iter().map(|object| format!(" -{}", object.name));
            format!("{}{}{}", kind.kind, if kind.whole { "*" } else { "" }, changed.chain(removed).collect::<String>())
        };
        set.kinds.iter().map(shown).collect()
    }

    fn heard(assembly: &mut Assembly, response: DeltaDiscoveryResponse) -> Option<Vec<String>> {
        assembly.hear(response).unwrap().set.as_ref().map(shown)
    }

    /// One with a gateway `g` and routes `v`.
    fn filled() -> Assembly {
        let mut assembly = assembly();
        assembly.hear(response(GATEWAY, "1/1/2", vec![resource("g", "1")], &[])).unwrap();
        assembly.hear(response(ROUTES, "1/2/2", vec![resource("v", "1")], &[])).unwrap().set.unwrap();
        assembly
    }

    #[test]
    fn nothing_is_handed_out_before_every_kind_and_every_part_is_in() {
        let mut assembly = assembly();
        assert_eq!(
            heard(&mut assembly, response(GATEWAY, "1/1/1", vec![resource("g", "1")], &[])),
            None,
            "of the other kind nothing is known"
        );
        assert_eq!(heard(&mut assembly, response(GATEWAY, "2/1/3", vec![resource("g", "2")], &[])), None);
        assert_eq!(heard(&mut assembly, response(ROUTES, "2/2/3", vec![resource("v", "1")], &[])), None, "a part is missing");
        let set = heard(&mut assembly, response(ROUTES, "2/3/3", vec![resource("w", "1")], &[])).unwrap();
        assert_eq!(set, ["Gateway* +g=2", "VirtualService* +v=1 +w=1"]);
        assert_eq!(heard(&mut assembly, response(GATEWAY, "3/1/2", vec![], &["shop/g"])), None);
        assert_eq!(
            heard(&mut assembly, response(ROUTES, "3/2/2", vec![resource("v", "2")], &[])).unwrap(),
            ["Gateway -g", "VirtualService +v=2"]
        );
    }

    #[test]
    fn a_new_stream_names_what_is_held_and_forgets_what_was_half_heard() {
        let mut assembly = filled();
        let version = resource("v", "1").version;
        assembly.hear(response(ROUTES, "2/1/2", vec![resource("v", "2")], &[])).unwrap();
        let asked = assembly.begin();
        assert_eq!(asked.iter().map(|request| request.type_url.as_str()).collect::<Vec<_>>(), [GATEWAY, ROUTES]);
        assert_eq!(asked[1].initial_resource_versions, BTreeMap::from([("shop/v".to_owned(), version)]));
        // Only what differs comes, and each kind is answered.
        assert_eq!(heard(&mut assembly, response(GATEWAY, "1/1/1", vec![], &["shop/g"])), None);
        assert_eq!(heard(&mut assembly, response(ROUTES, "2/1/1", vec![], &[])).unwrap(), ["Gateway -g"]);
    }

    #[test]
    fn one_resource_that_can_not_be_read_is_named_and_the_others_are_taken() {
        let mut assembly = filled();
        let broken = Resource { resource: Some(Any { type_url: "x".to_owned(), value: Vec::new() }), ..resource("g", "2") };
        let heard = assembly.hear(response(GATEWAY, "2/1/1", vec![broken, resource("h", "1")], &[])).unwrap();
        assert_eq!(shown(&heard.set.unwrap()), ["Gateway +h=1"], "g stays as it is");
        let refusal = heard.answer.error_detail.unwrap();
        assert_eq!(refusal.message, "1 of 2 resources can't be read: \"shop/g\" can't be unpacked");
        assert_eq!((heard.answer.response_nonce.as_str(), heard.unreadable), ("2/1/1", 1));
        let held = &assembly.begin()[0].initial_resource_versions;
        assert_eq!(held["shop/g"], resource("g", "1").version, "so that it is sent again");
    }

    #[test]
    fn a_server_that_speaks_otherwise_is_not_believed() {
        let mut assembly = filled();
        let mut error = |type_url: &str, nonce: &str| assembly.hear(response(type_url, nonce, vec![], &[])).unwrap_err().to_string();
        assert!(error("networking.istio.io/v1/Sidecar", "2/1/1").contains("not asked for"));
        assert!(error(GATEWAY, "nonsense").contains("nonce"));
        assert!(error(GATEWAY, "2/2/2").contains("part"));
    }
}
