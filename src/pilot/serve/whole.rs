//! The older, state-of-the-world form of the protocol, for clients that do not speak delta: translated to and from the session's terms.
//!
//! A request names all that the client wants, not what it wants more; a response with clusters or listeners names all that there are,
//! and whatever it leaves out is gone. So this remembers both.

use std::collections::BTreeSet;

use envoy_api::envoy::service::discovery::v3::DiscoveryRequest;
use rpds::RedBlackTreeMapSync;

use super::session::{Request, Response};
use crate::compile::{Resource, ResourceType};
use std::sync::Arc;

/// What a client holds of a kind, by name.
type Held = RedBlackTreeMapSync<Arc<str>, Arc<Resource>>;

/// The memory of one stream.
#[derive(Debug, Default)]
pub(super) struct Whole {
    kinds: [KindState; ResourceType::COUNT],
}

#[derive(Debug, Default)]
struct KindState {
    wanted: BTreeSet<String>,
    /// What the client accepted, and what it was sent.
    accepted: Held,
    sent: Held,
}

// === impl Whole ===

impl Whole {
    /// A client's request in the session's terms.
    pub(super) fn request(&mut self, request: DiscoveryRequest) -> Request {
        let error = request.error_detail.map(|status| status.message);
        let mut translated = Request { type_url: request.type_url, nonce: request.response_nonce, error, ..Request::default() };
        let wanted: BTreeSet<String> = request.resource_names.into_iter().collect();
        let Some(kind) = ResourceType::of_type_url(&translated.type_url) else {
            // Only a first request asks; the rest are answers.
            translated.subscribe = if translated.nonce.is_empty() { wanted.into_iter().collect() } else { Vec::new() };
            return translated;
        };
        let state = &mut self.kinds[kind as usize];
        translated.subscribe = wanted.difference(&state.wanted).cloned().collect();
        translated.unsubscribe = state.wanted.difference(&wanted).cloned().collect();
        for name in &translated.unsubscribe {
            state.accepted.remove_mut(&**name);
            state.sent.remove_mut(&**name);
        }
        state.wanted = wanted;
        translated
    }

    /// The client took the last response of that kind.
    pub(super) fn accepted(&mut self, kind: ResourceType) {
        let state = &mut self.kinds[kind as usize];
        state.accepted = state.sent.clone();
    }

    /// The client refused the last response of that kind, so it holds what it held before.
    pub(super) fn refused(&mut self, kind: ResourceType) {
        let state = &mut self.kinds[kind as usize];
        state.sent = state.accepted.clone();
    }

    /// The session's response in the client's terms.
    pub(super) fn response(&mut self, mut response: Response) -> Response {
        let kind = ResourceType::of_type_url(&response.type_url);
        // Of endpoints and routes a response need not name all.
        if let Some(kind @ (ResourceType::Cluster | ResourceType::Listener)) = kind {
            let held = &mut self.kinds[kind as usize].sent;
            for resource in response.resources {
                held.insert_mut(resource.name.clone(), resource);
            }
            for name in &response.removed {
                held.remove_mut(name);
            }
            response.resources = held.values().cloned().collect();
        }
        response.removed.clear();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Compiled;
    use crate::pilot::serve::session::{Session, Shared, Verdict, nonce_text};

    fn is(name: &str, text: &str) -> Arc<Resource> {
        Resource::of(ResourceType::Cluster, name, text, &[])
    }

    /// Names with their texts.
    fn shown(response: &Response) -> Vec<(String, Vec<u8>)> {
        response.resources.iter().map(|resource| (resource.name.to_string(), resource.body[2..].to_vec())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    struct Player {
        session: Session,
        whole: Whole,
    }

    impl Player {
        fn says(&mut self, nonce: u64, error: Option<&str>) {
            let status = |message: &str| envoy_api::google::rpc::Status { message: message.to_owned(), ..Default::default() };
            let request = DiscoveryRequest {
                type_url: ResourceType::Cluster.type_url().to_owned(),
                response_nonce: if nonce == 0 { String::new() } else { nonce_text(nonce) },
                error_detail: error.map(status),
                ..DiscoveryRequest::default()
            };
            match self.session.request(self.whole.request(request)).unwrap() {
                Verdict::None => {}
                Verdict::Accepted(kind) => self.whole.accepted(kind),
                Verdict::Refused { kind, .. } => self.whole.refused(kind),
            }
        }

        fn hears(&mut self) -> Response {
            let response = self.session.next().unwrap();
            self.whole.response(response)
        }
    }

    #[test]
    fn a_response_names_all_and_keeps_the_form_before_a_refused_one() {
        let mut player = Player { session: Session::new(Shared::default()), whole: Whole::default() };
        player.session.update(Compiled::made_of(&[is("a", "1"), is("b", "1")]));
        player.says(0, None);
        let first = player.hears();
        assert_eq!(shown(&first), pairs(&[("a", "1"), ("b", "1")]));
        player.says(first.nonce, None);

        player.session.update(Compiled::made_of(&[is("a", "bad"), is("c", "1")]));
        let second = player.hears();
        // What goes, goes last.
        assert_eq!(shown(&second), pairs(&[("a", "bad"), ("b", "1"), ("c", "1")]));
        player.says(second.nonce, Some("cluster a is bad"));
        let third = player.hears();
        assert_eq!(shown(&third), pairs(&[("a", "1"), ("b", "1"), ("c", "1")]));
        player.says(third.nonce, None);
        assert_eq!(shown(&player.hears()), pairs(&[("a", "1"), ("c", "1")]));
    }

    #[test]
    fn what_a_client_no_longer_names_is_no_more_in_responses() {
        let mut whole = Whole::default();
        let names = |whole: &mut Whole, names: &[&str]| {
            let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
            let type_url = ResourceType::Listener.type_url().to_owned();
            whole.request(DiscoveryRequest { type_url, resource_names, ..DiscoveryRequest::default() });
        };
        let hears = |whole: &mut Whole, resources: &[&str]| {
            let resource = |name: &&str| Resource::of(ResourceType::Listener, name, "1", &[]);
            let (type_url, resources) = (ResourceType::Listener.type_url().into(), resources.iter().map(resource).collect());
            let response = whole.response(Response { type_url, nonce: 1, resources, removed: Vec::new() });
            whole.accepted(ResourceType::Listener);
            response.resources.iter().map(|it| it.name.to_string()).collect::<Vec<_>>()
        };
        names(&mut whole, &["a", "b"]);
        assert_eq!(hears(&mut whole, &["a", "b"]), ["a", "b"]);
        names(&mut whole, &["b", "c"]);
        assert_eq!(hears(&mut whole, &["c"]), ["b", "c"]);
    }

    #[test]
    fn a_request_is_told_by_what_it_names_more_or_less_than_the_one_before() {
        let mut whole = Whole::default();
        let named = |names: &[&str]| DiscoveryRequest {
            type_url: ResourceType::Route.type_url().to_owned(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..DiscoveryRequest::default()
        };
        assert_eq!(whole.request(named(&["80", "81"])).subscribe, ["80", "81"]);
        let next = whole.request(named(&["81", "82"]));
        assert_eq!((next.subscribe, next.unsubscribe), (vec!["82".to_owned()], vec!["80".to_owned()]));
    }
}
