//! What one reader has, and what it misses. Pure.
//!
//! A reader gets one set of responses at a time, made from one state of all kinds that it asked for; the next set comes when it has
//! answered all of the one before, and then leads straight to the latest state, however many there were between. So a slow reader costs
//! no more than the state that it is at.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use envoy_api::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use prost::Name;
use prost_types::Any;

use crate::index::{CarriedKind, CarriedObjects};
use crate::mcp::{self, Carried, Part};

/// One reader.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What it asked for, by kind.
    subscriptions: BTreeMap<&'static str, Subscription>,
    /// The state that is to be sent.
    latest: Option<CarriedObjects>,
    /// Sets so far.
    set: u64,
    /// The rest of the present set.
    unsent: VecDeque<Piece>,
    /// The responses that are not answered yet, by nonce.
    unanswered: BTreeMap<String, &'static str>,
}

/// One kind.
#[derive(Debug)]
struct Subscription {
    /// The type URL, in the version that the reader asked for.
    type_url: String,
    has: Has,
    /// Whether the reader was told anything: the first answer comes even if it says nothing new.
    answered: bool,
}

/// What a reader has of a kind.
#[derive(Debug)]
enum Has {
    /// Versions by name, by its own words.
    Said(BTreeMap<String, String>),
    /// What it was sent.
    Sent(CarriedKind),
}

/// A response to be.
#[derive(Debug)]
struct Piece {
    kind: &'static str,
    type_url: String,
    changed: Vec<Arc<Carried>>,
    removed: Vec<String>,
    part: Part,
    /// The state's version, which is the same in all parts of a set.
    state: u64,
}

/// A request, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It asks for something, or for nothing any more.
    Asked,
    /// It answers a response.
    Answered {
        /// The response's kind.
        kind: &'static str,
        /// What could not be read, if anything.
        problem: Option<String>,
    },
    /// It answers nothing that was sent on this stream.
    Stale,
}

/// A response, and what it holds.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) response: DeltaDiscoveryResponse,
    pub(super) kind: &'static str,
    pub(super) resources: usize,
}

/// Why a request is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum RequestError {
    #[error("{0:?} is no kind of the mesh's configuration: ask for GROUP/VERSION/KIND")]
    Type(String),
    #[error("objects are not served one by one: subscribe to *")]
    Names,
}

/// Of so many bytes a response is cut.
const ENOUGH: usize = 1024 * 1024;

// === impl Session ===

impl Session {
    /// Takes in the latest state.
    pub(super) fn update(&mut self, latest: CarriedObjects) {
        self.latest = Some(latest);
    }

    /// Takes in a request.
    ///
    /// # Errors
    /// When it asks for what there isn't.
    pub(super) fn request(&mut self, request: DeltaDiscoveryRequest) -> Result<Heard, RequestError> {
        let kind = mcp::kind_of(&request.type_url).ok_or_else(|| RequestError::Type(shortened(&request.type_url)))?.name;
        if request.resource_names_subscribe.iter().any(|name| name != "*") {
            return Err(RequestError::Names);
        }
        if request.resource_names_unsubscribe.iter().any(|name| name == "*") {
            self.subscriptions.remove(kind);
            return Ok(Heard::Asked);
        }
        if !request.response_nonce.is_empty() {
            let answered = self.unanswered.remove(&request.response_nonce);
            let problem = request.error_detail.map(|status| status.message);
            return Ok(answered.map_or(Heard::Stale, |kind| Heard::Answered { kind, problem }));
        }
        self.subscriptions.entry(kind).or_insert_with(|| Subscription {
            type_url: request.type_url,
            has: Has::Said(request.initial_resource_versions),
            answered: false,
        });
        Ok(Heard::Asked)
    }

    /// The next response; none while there is nothing to say, or nothing may be said.
    pub(super) fn next(&mut self) -> Option<Sent> {
        if self.unsent.is_empty() && self.unanswered.is_empty() {
            self.begin_set();
        }
        let piece = self.unsent.pop_front()?;
        let nonce = piece.part.to_string();
        self.unanswered.insert(nonce.clone(), piece.kind);
        let (kind, resources) = (piece.kind, piece.changed.len());
        let response = DeltaDiscoveryResponse {
            system_version_info: piece.state.to_string(),
            resources: piece.changed.iter().map(|carried| resource(carried)).collect(),
            type_url: piece.type_url,
            removed_resources: piece.removed,
            nonce,
            ..DeltaDiscoveryResponse::default()
        };
        Some(Sent { response, kind, resources })
    }

    /// Plans a set that leads to the latest state, if anything is to be said.
    fn begin_set(&mut self) {
        let Some(latest) = &self.latest else { return };
        let mut pieces = Vec::new();
        for (kind, subscription) in &mut self.subscriptions {
            let now = latest.of(kind);
            if subscription.answered && matches!(&subscription.has, Has::Sent(sent) if sent.version == now.version) {
                continue;
            }
            let (changed, removed) = subscription.has.differences(&now);
            if subscription.answered && changed.is_empty() && removed.is_empty() {
                subscription.has = Has::Sent(now);
                continue;
            }
            pieces.extend(cut(changed).into_iter().map(|changed| (*kind, subscription.type_url.clone(), changed, Vec::new())));
            if let Some((_, _, _, last)) = pieces.last_mut() {
                *last = removed;
            }
            subscription.answered = true;
            subscription.has = Has::Sent(now);
        }
        if pieces.is_empty() {
            return;
        }
        self.set += 1;
        let (set, of, state) = (self.set, pieces.len(), latest.version());
        let numbered = pieces.into_iter().zip(1..);
        self.unsent.extend(numbered.map(|((kind, type_url, changed, removed), number)| Piece {
            kind,
            type_url,
            changed,
            removed,
            part: Part { set, number, of },
            state,
        }));
    }
}

// === impl Has ===

impl Has {
    /// What leads to `now`: objects to send, and names of those that are gone. In the order of their names.
    fn differences(&self, now: &CarriedKind) -> (Vec<Arc<Carried>>, Vec<String>) {
        let version = |name: &str| match self {
            Self::Said(versions) => versions.get(name).map(String::as_str),
            Self::Sent(sent) => sent.objects.get(name).map(|carried| &*carried.version),
        };
        let mut changed: Vec<Arc<Carried>> =
            now.objects.values().filter(|carried| version(&carried.name) != Some(&*carried.version)).cloned().collect();
        changed.sort_by(|one, other| one.name.cmp(&other.name));
        let gone = |name: &str| !now.objects.contains_key(name);
        let removed: BTreeSet<String> = match self {
            Self::Said(versions) => versions.keys().filter(|name| gone(name)).cloned().collect(),
            Self::Sent(sent) => sent.objects.keys().filter(|name| gone(name)).map(|name| name.to_string()).collect(),
        };
        (changed, removed.into_iter().collect())
    }
}

/// Cuts objects into pieces that are large enough; one piece of nothing where there are none.
fn cut(objects: Vec<Arc<Carried>>) -> Vec<Vec<Arc<Carried>>> {
    let (mut pieces, mut size) = (vec![Vec::new()], 0);
    for object in objects {
        if size >= ENOUGH {
            pieces.push(Vec::new());
            size = 0;
        }
        size += object.body.len();
        if let Some(piece) = pieces.last_mut() {
            piece.push(object);
        }
    }
    pieces
}

fn resource(carried: &Carried) -> Resource {
    let packed = Any { type_url: mcp::Resource::type_url(), value: carried.body.to_vec() };
    Resource { name: carried.name.to_string(), version: carried.version.to_string(), resource: Some(packed), ..Resource::default() }
}

/// A reader's text, at a length that fits a line of a log.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectRef;
    use envoy_api::google::rpc::Status;
    use serde_json::json;

    const GATEWAY: &str = "networking.istio.io/v1/Gateway";
    const ROUTES: &str = "networking.istio.io/v1alpha3/VirtualService";

    /// The states of a mesh.
    #[derive(Default)]
    struct Mesh(CarriedObjects);

    impl Mesh {
        fn set(&mut self, kind: &'static str, name: &str, spec: Option<usize>) -> String {
            let carried =
                spec.map(|spec| Arc::new(Carried::of(&json!({"metadata": {"namespace": "shop", "name": name}, "spec": "x".repeat(spec)}))));
            let version = carried.as_ref().map_or_else(String::new, |carried| carried.version.to_string());
            self.0.set(&ObjectRef::new(kind, "shop", name), carried);
            version
        }
    }

    fn asks(type_url: &str, held: &[(&str, &str)]) -> DeltaDiscoveryRequest {
        let held = held.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
        DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            initial_resource_versions: held.collect(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn answers(response: &DeltaDiscoveryResponse, refusal: Option<&str>) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|message| Status { message: message.to_owned(), ..Status::default() }),
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// All responses that there are now: `NONCE KIND +NAME -NAME`, and themselves.
    fn sent(session: &mut Session) -> (Vec<String>, Vec<DeltaDiscoveryResponse>) {
        let responses: Vec<_> = std::iter::from_fn(|| session.next()).map(|sent| sent.response).collect();
        let shown = responses.iter().map(|response| {
            let changed = response.resources.iter().map(|resource| format!(" +{}", resource.name));
            let removed = response.removed_resources.iter().map(|name| format!(" -{name}"));
            let kind = response.type_url.rsplit('/').next().unwrap();
            format!("{} {kind}{}", response.nonce, changed.chain(removed).collect::<String>())
        });
        (shown.collect(), responses)
    }

    /// The same, all of them taken.
    fn taken(session: &mut Session) -> Vec<String> {
        let (shown, responses) = sent(session);
        for response in &responses {
            assert!(matches!(session.request(answers(response, None)).unwrap(), Heard::Answered { problem: None, .. }));
        }
        shown
    }

    fn reader(mesh: &Mesh) -> Session {
        let mut session = Session::default();
        for type_url in [GATEWAY, ROUTES] {
            session.request(asks(type_url, &[])).unwrap();
        }
        session.update(mesh.0.clone());
        session
    }

    #[test]
    fn a_set_tells_one_state_of_every_kind_and_the_next_one_waits_for_the_answers() {
        let mut mesh = Mesh::default();
        mesh.set("Gateway", "g", Some(1));
        let mut session = reader(&mesh);
        let (shown, responses) = sent(&mut session);
        assert_eq!(shown, ["1/1/2 Gateway +shop/g", "1/2/2 VirtualService"], "a kind without objects is answered, too");
        assert_eq!(responses[1].type_url, ROUTES, "in the version that was asked for");
        assert_eq!(responses[0].system_version_info, responses[1].system_version_info);
        mesh.set("Gateway", "g", None);
        mesh.set("VirtualService", "v", Some(1));
        session.update(mesh.0.clone());
        mesh.set("VirtualService", "v", Some(2));
        session.update(mesh.0.clone());
        session.request(answers(&responses[0], None)).unwrap();
        assert_eq!(sent(&mut session).0, [""; 0], "one is not answered");
        session.request(answers(&responses[1], None)).unwrap();
        let next = taken(&mut session);
        assert_eq!(next, ["2/1/2 Gateway -shop/g", "2/2/2 VirtualService +shop/v"]);
        session.update(mesh.0.clone());
        assert_eq!(sent(&mut session).0, [""; 0], "nothing is told twice");
    }

    #[test]
    fn who_comes_back_is_told_what_differs_from_what_he_holds() {
        let mut mesh = Mesh::default();
        let same = mesh.set("Gateway", "same", Some(1));
        mesh.set("Gateway", "other", Some(1));
        let mut session = Session::default();
        session.request(asks(GATEWAY, &[("shop/same", &same), ("shop/other", "old"), ("shop/gone", "old")])).unwrap();
        assert_eq!(sent(&mut session).0, [""; 0], "nothing is known yet");
        session.update(mesh.0.clone());
        assert_eq!(taken(&mut session), ["1/1/1 Gateway +shop/other -shop/gone"]);
    }

    #[test]
    fn what_is_large_is_cut_and_what_is_refused_is_not_repeated() {
        let mut mesh = Mesh::default();
        for name in ["a", "b", "c"] {
            mesh.set("Gateway", name, Some(ENOUGH / 2 + 1));
        }
        let mut session = reader(&mesh);
        let (shown, responses) = sent(&mut session);
        assert_eq!(shown, ["1/1/3 Gateway +shop/a +shop/b", "1/2/3 Gateway +shop/c", "1/3/3 VirtualService"]);
        let refused = session.request(answers(&responses[0], Some("no"))).unwrap();
        assert_eq!(refused, Heard::Answered { kind: "Gateway", problem: Some("no".to_owned()) });
        assert_eq!(session.request(answers(&responses[0], None)).unwrap(), Heard::Stale);
        responses[1..].iter().for_each(|response| _ = session.request(answers(response, None)).unwrap());
        assert_eq!(sent(&mut session).0, [""; 0]);
        mesh.set("Gateway", "b", None);
        session.update(mesh.0.clone());
        assert_eq!(taken(&mut session), ["2/1/1 Gateway -shop/b"]);
    }

    #[test]
    fn a_kind_that_is_asked_for_later_comes_in_a_set_of_its_own_and_one_that_is_given_up_no_more() {
        let mut mesh = Mesh::default();
        mesh.set("VirtualService", "v", Some(1));
        let mut session = Session::default();
        session.update(mesh.0.clone());
        session.request(asks(GATEWAY, &[])).unwrap();
        assert_eq!(taken(&mut session), ["1/1/1 Gateway"]);
        session.request(asks(ROUTES, &[])).unwrap();
        assert_eq!(taken(&mut session), ["2/1/1 VirtualService +shop/v"]);
        let gives_up = DeltaDiscoveryRequest {
            type_url: ROUTES.to_owned(),
            resource_names_unsubscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        session.request(gives_up).unwrap();
        mesh.set("VirtualService", "v", None);
        session.update(mesh.0.clone());
        assert_eq!(sent(&mut session).0, [""; 0]);
    }

    #[test]
    fn what_there_isnt_is_refused() {
        let mut session = Session::default();
        assert!(matches!(session.request(asks("type.googleapis.com/envoy.config.cluster.v3.Cluster", &[])), Err(RequestError::Type(_))));
        let single = DeltaDiscoveryRequest { resource_names_subscribe: vec!["shop/a".to_owned()], ..asks(GATEWAY, &[]) };
        assert_eq!(session.request(single), Err(RequestError::Names));
    }
}
