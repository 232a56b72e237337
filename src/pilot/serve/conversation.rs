//! One stream: a session between a proxy's requests, the hub's updates and the bytes that leave.
//!
//! There is no task and no queue for a stream. HTTP asks for the next bytes when the connection has room for them, and that is when the
//! session looks for what the proxy misses. A proxy that does not read is not asked for, and misses more.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{Request as HttpRequest, State},
    response::Response as HttpResponse,
    routing::post,
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tonic::{Code, Status};

use super::{
    bootstrap,
    chunks::SharedChunks,
    incoming::Incoming,
    requests::Requests,
    session::{Request, Session, Shared, Verdict},
    wire::Outgoing,
};
use crate::compile::ResourceType;
use crate::pilot::{
    connections::{Connections, Registered},
    hub::{Hub, JoinError, Joined, Question, Updates},
    metrics::{Metrics, short_name},
    node::{Claims, NodeError},
    reports::{Accuser, Refusal, Reports},
};
use crate::runtime::{Carrier, Peer, Shutdown, random_fraction, stream_age};

const DELTA_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const WHOLE_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// For the first request of a stream.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// A proxy's complaint may quote its whole configuration.
const MAX_MESSAGE: usize = 2000;

/// What every stream needs. Clones share everything.
#[derive(Clone, Debug)]
pub(in crate::pilot) struct Server {
    pub(super) hub: Hub,
    connections: Connections,
    metrics: Metrics,
    shared: Shared,
    chunks: SharedChunks,
    shutdown: Shutdown,
}

/// The service's methods as routes of a router.
pub(in crate::pilot) fn routes(server: Server) -> Router {
    let delta =
        async |State(server): State<Server>, request: HttpRequest| server.answer(request, |body| Requests::Delta(Incoming::new(body)));
    let whole = async |State(server): State<Server>, request: HttpRequest| {
        server.answer(request, |body| Requests::Whole(Incoming::new(body), Box::default()))
    };
    let starting = bootstrap::routes(server.clone());
    Router::new().route(DELTA_PATH, post(delta)).route(WHOLE_PATH, post(whole)).with_state(server).merge(starting)
}

/// The state of a stream's answer.
enum Stage {
    /// The first request has not come yet.
    Opening(Box<Opening>),
    Open(Box<Conversation>),
    Ended,
}

struct Opening {
    server: Server,
    peer: Peer,
    carrier: Carrier,
    requests: Requests,
}

struct Conversation {
    /// Who speaks, as the hub knows it.
    accuser: Accuser,
    /// When the stream ends of itself.
    end: Pin<Box<Sleep>>,
    carrier: Carrier,
    requests: Requests,
    updates: Updates,
    session: Session,
    /// The version of the snapshot that the session has.
    version: u64,
    outgoing: Option<Outgoing>,
    chunks: SharedChunks,
    /// What the hub wants to know.
    question: Option<Question>,
    reports: Reports,
    /// When the responses left that were not answered then.
    sent_at: [Option<Instant>; ResourceType::ALL.len()],
    /// Since when the proxy misses something.
    behind_since: Option<Instant>,
    /// None for an agent, which is no proxy that anybody counts.
    registered: Option<Registered>,
    metrics: Metrics,
    shutdown: Shutdown,
}

// === impl Server ===

impl Server {
    /// A server of what the hub knows.
    pub(in crate::pilot) fn new(hub: Hub, connections: Connections, metrics: Metrics, shutdown: Shutdown) -> Self {
        Self { hub, connections, metrics, shared: Shared::default(), chunks: SharedChunks::default(), shutdown }
    }

    fn answer(self, request: HttpRequest, requests: impl FnOnce(Body) -> Requests) -> HttpResponse {
        let extensions = request.extensions();
        let (Some(peer), Some(carrier)) = (extensions.get::<Peer>().cloned(), extensions.get::<Carrier>().cloned()) else {
            return Status::internal("the connection has no peer").into_http();
        };
        let requests = requests(request.into_body());
        let frames = stream::unfold(Stage::Opening(Box::new(Opening { server: self, peer, carrier, requests })), |stage| async move {
            let (frame, stage) = stage.advance().await?;
            Some((Ok::<_, Infallible>(frame), stage))
        });
        let mut response = HttpResponse::new(Body::new(StreamBody::new(frames)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }

    /// Takes in a proxy that has said who it is.
    async fn open(&self, peer: &Peer, carrier: Carrier, mut requests: Requests) -> Result<Conversation, Status> {
        let first = timeout(FIRST_REQUEST, requests.next()).await.map_err(|_| Status::deadline_exceeded("no request came"))??;
        let (node, first) = first.ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))?;
        let identity = peer.identity.as_ref().ok_or_else(|| Status::unauthenticated("the client certificate states no identity"))?;
        let node = node.ok_or_else(|| refused(&NodeError::Missing, self, peer))?;
        let mut claims = Claims::of(&node, identity).map_err(|error| refused(&error, self, peer))?;
        claims.splits_tables = requests.have_hosts_apart();
        let claims = Arc::new(claims);
        let Joined { subscriber, updates } = match self.hub.join(claims.clone()).await {
            Ok(joined) => joined,
            Err(JoinError::Node(error)) => return Err(refused(&error, self, peer)),
            Err(error @ JoinError::Ended) => return Err(Status::unavailable(error.to_string())),
        };
        let (proxy, namespace) = (claims.name(), claims.key.namespace.clone());
        let left = carrier.certificate_ends.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        tracing::info!(proxy, identity = %claims.identity, version = claims.version, "proxy connected");
        let registered = (!claims.by_agent).then(|| self.connections.register(claims, peer.address, updates.clone()));
        let mut conversation = Conversation {
            accuser: Accuser { subscriber, proxy, namespace },
            end: Box::pin(sleep(stream_age(left, random_fraction()))),
            carrier,
            requests,
            updates,
            session: Session::new(self.shared.clone()),
            version: 0,
            outgoing: None,
            chunks: self.chunks.clone(),
            question: None,
            reports: self.hub.reports.clone(),
            sent_at: [None; ResourceType::ALL.len()],
            behind_since: None,
            registered,
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
        };
        conversation.take_update();
        conversation.heard(first)?;
        Ok(conversation)
    }
}

/// The status for a node that is not served.
pub(super) fn refused(error: &NodeError, server: &Server, peer: &Peer) -> Status {
    server.metrics.refused_node();
    tracing::warn!(%error, address = ?peer.address, "proxy refused");
    let code = if error.is_foreign() { Code::PermissionDenied } else { Code::InvalidArgument };
    Status::new(code, error.to_string())
}

// === impl Stage ===

impl Stage {
    /// The next frame of the answer; none after the last.
    async fn advance(self) -> Option<(Frame<Bytes>, Self)> {
        let mut conversation = match self {
            Self::Ended => return None,
            Self::Open(conversation) => conversation,
            // Apart, because what it needs for a moment would be part of each stream for as long as it lasts.
            Self::Opening(opening) => match Box::pin(opening.server.open(&opening.peer, opening.carrier, opening.requests)).await {
                Ok(conversation) => Box::new(conversation),
                Err(status) => return Some((trailers(&status), Self::Ended)),
            },
        };
        Some(match conversation.next_chunk().await {
            Ok(chunk) => (Frame::data(chunk), Self::Open(conversation)),
            Err(status) => {
                tracing::info!(proxy = conversation.accuser.proxy, code = ?status.code(), reason = status.message(), "proxy disconnected");
                (trailers(&status), Self::Ended)
            }
        })
    }
}

fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    // Can't fail but for a message that no header can hold, and then the code has been written already.
    let _ = status.add_header(&mut headers);
    Frame::trailers(headers)
}

// === impl Conversation ===

impl Conversation {
    /// The next bytes to send; a status when the stream is over.
    async fn next_chunk(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some(chunk) = self.outgoing.as_mut().and_then(|outgoing| outgoing.next_chunk(&self.chunks)) {
                return Ok(chunk);
            }
            self.outgoing = self.next_response();
            if self.outgoing.is_some() {
                continue;
            }
            tokio::select! {
                request = self.requests.next() => {
                    let (_, request) = request?.ok_or_else(|| Status::ok("the proxy ended the stream"))?;
                    self.heard(request)?;
                }
                changed = self.updates.changed() => {
                    changed.map_err(|_| Status::unavailable("the proxy has to introduce itself again"))?;
                    self.behind_since = self.behind_since.or(self.updates.borrow().as_ref().map(|update| update.taken));
                    self.take_update();
                }
                () = self.end.as_mut() => {
                    // The next stream shall prove its identity anew, and that takes a new connection.
                    self.carrier.close();
                    return Err(Status::ok("a stream lasts no longer: connect again"));
                }
                () = self.shutdown.requested() => return Err(Status::unavailable("pilot is ending")),
            }
        }
    }

    fn next_response(&mut self) -> Option<Outgoing> {
        let Some(response) = self.session.next() else {
            self.note(false);
            self.answer_question();
            if self.session.is_settled()
                && let Some(since) = self.behind_since.take()
            {
                self.metrics.converged(since.elapsed());
            }
            return None;
        };
        let kind = ResourceType::of_type_url(&response.type_url);
        tracing::debug!(
            proxy = self.accuser.proxy,
            kind = kind.map(short_name),
            resources = response.resources.len(),
            removed = response.removed.len(),
            "push"
        );
        let outgoing = self.requests.translate(response, self.version);
        if let Some(kind) = kind {
            self.metrics.pushed(kind, outgoing.size());
            self.sent_at[kind as usize] = Some(Instant::now());
        }
        self.note(false);
        Some(outgoing)
    }

    fn take_update(&mut self) {
        let update = self.updates.borrow_and_update().clone();
        if let Some(update) = update {
            self.version = update.version;
            self.question = update.question;
            self.session.update(update.compiled);
        }
    }

    fn heard(&mut self, request: Request) -> Result<(), Status> {
        let verdict = self.session.request(request).map_err(|error| Status::resource_exhausted(error.to_string()))?;
        self.requests.judged(&verdict);
        if let Verdict::Accepted(kind) | Verdict::Refused { kind, .. } = &verdict
            && let Some(sent) = self.sent_at[*kind as usize].take()
        {
            self.metrics.answered(*kind, sent.elapsed());
        }
        match &verdict {
            Verdict::None => {}
            Verdict::Accepted(_) => self.note(true),
            Verdict::Refused { kind, message, blamed } => {
                self.metrics.refused(*kind);
                let (proxy, kind) = (&self.accuser.proxy, short_name(*kind));
                let message = shortened(message);
                if blamed.is_empty() {
                    tracing::warn!(proxy, kind, error = message, "proxy refused a response; looking for the resource at fault");
                }
                for rejection in blamed {
                    let resource = &rejection.resource;
                    let objects: Vec<String> = resource.sources.iter().map(ToString::to_string).collect();
                    let (name, objects) = (&*resource.name, objects.join(", "));
                    tracing::warn!(
                        proxy,
                        kind,
                        resource = name,
                        objects,
                        error = message,
                        "proxy refused a resource; it keeps the one before"
                    );
                    self.reports.refused(Refusal {
                        resource: resource.clone(),
                        held: rejection.held,
                        message: message.into(),
                        accusers: vec![self.accuser.clone()],
                    });
                }
                self.note(true);
            }
        }
        Ok(())
    }

    /// Tells the hub once the proxy has taken or refused what the hub wants to know of.
    fn answer_question(&mut self) {
        let answered = |question: &mut Question| self.session.has_settled(question.kind, &question.name);
        if let Some(question) = self.question.take_if(answered) {
            self.reports.answered(self.accuser.subscriber, question.number);
        }
    }

    /// Tells the debug pages how far the proxy got.
    fn note(&self, answered: bool) {
        let rejections = answered.then(|| self.session.rejections().cloned().collect());
        if let Some(registered) = &self.registered {
            registered.note(ResourceType::ALL.map(|kind| self.session.progress(kind)), rejections);
        }
    }
}

/// A proxy's message, at a length that fits a line of a log.
fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE)]
}
