//! What a proxy says, and how it is answered, in either form of the protocol.

use envoy_api::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest},
};
use tonic::Status;

use super::{
    incoming::Incoming,
    session::{Request, Response, Verdict},
    whole::Whole,
    wire::{Form, Outgoing},
};

/// What a proxy says, in the form of the protocol that it speaks.
pub(super) enum Requests {
    Delta(Incoming<DeltaDiscoveryRequest>),
    Whole(Incoming<DiscoveryRequest>, Box<Whole>),
}

// === impl Requests ===

impl Requests {
    /// The next request, with the node that it comes from if it says so; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(Option<Node>, Request)>, Status> {
        Ok(match self {
            Self::Delta(requests) => requests.next().await?.map(|mut request| (request.node.take(), request.into())),
            Self::Whole(requests, whole) => requests.next().await?.map(|mut request| (request.node.take(), whole.request(request))),
        })
    }

    /// Whether virtual hosts can come apart from their tables: only this form of the protocol tells of what goes.
    pub(super) fn have_hosts_apart(&self) -> bool {
        matches!(self, Self::Delta(_))
    }

    /// The session's verdict on the last request.
    pub(super) fn judged(&mut self, verdict: &Verdict) {
        match (self, verdict) {
            (Self::Whole(_, whole), Verdict::Accepted(kind)) => whole.accepted(*kind),
            (Self::Whole(_, whole), Verdict::Refused { kind, .. }) => whole.refused(*kind),
            _ => {}
        }
    }

    /// A response as the proxy wants to have it.
    pub(super) fn translate(&mut self, response: Response, version: u64) -> Outgoing {
        match self {
            Self::Delta(_) => Outgoing::new(response, Form::Delta, version),
            Self::Whole(_, whole) => Outgoing::new(whole.response(response), Form::Whole, version),
        }
    }
}

impl From<DeltaDiscoveryRequest> for Request {
    fn from(request: DeltaDiscoveryRequest) -> Self {
        Self {
            type_url: request.type_url,
            subscribe: request.resource_names_subscribe,
            unsubscribe: request.resource_names_unsubscribe,
            held: request.initial_resource_versions,
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        }
    }
}
