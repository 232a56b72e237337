//! One stream of discovery, in either form: requests and renewals in, answers out.

use envoy_api::{
    any,
    envoy::{
        extensions::transport_sockets::tls::v3::Secret,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource},
    },
    google::rpc,
    type_url,
};
use futures::{Stream, StreamExt, stream};
use std::{collections::BTreeSet, sync::Arc};
use tonic::{Status, Streaming};

use super::secrets::{secret, version};
use crate::runtime::{CertificateSource, WorkloadCert};

/// Answers of the state-of-the-world form: each holds all secrets that were asked for.
pub(super) fn state_of_the_world(
    requests: Streaming<DiscoveryRequest>,
    source: CertificateSource,
) -> impl Stream<Item = Result<DiscoveryResponse, Status>> + Send {
    answers(requests, source, |update| {
        let resources = update.secrets().map(|(_, secret)| any(&secret)).collect();
        DiscoveryResponse {
            version_info: version(&update.certificate),
            resources,
            type_url: type_url::<Secret>(),
            nonce: update.nonce,
            ..DiscoveryResponse::default()
        }
    })
}

/// Answers of the incremental form: each holds the secrets that are new to the stream.
pub(super) fn delta(
    requests: Streaming<DeltaDiscoveryRequest>,
    source: CertificateSource,
) -> impl Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send {
    answers(requests, source, |update| {
        let version = version(&update.certificate);
        let resource = |(name, secret): (&String, Secret)| Resource {
            name: name.clone(),
            version: version.clone(),
            resource: Some(any(&secret)),
            ..Resource::default()
        };
        DeltaDiscoveryResponse {
            system_version_info: version.clone(),
            resources: update.secrets().map(resource).collect(),
            type_url: type_url::<Secret>(),
            removed_resources: update.unknown(),
            nonce: update.nonce.clone(),
            ..DeltaDiscoveryResponse::default()
        }
    })
}

/// What a request means in either form.
trait Subscription: Send + 'static {
    /// Changes what the stream wants; the names to answer at once, none for a mere acknowledgement.
    fn apply(&self, wanted: &mut BTreeSet<String>) -> BTreeSet<String>;
    /// Why the client could not use the last answer.
    fn rejection(&self) -> Option<&rpc::Status>;
}

impl Subscription for DiscoveryRequest {
    fn apply(&self, wanted: &mut BTreeSet<String>) -> BTreeSet<String> {
        let named: BTreeSet<String> = self.resource_names.iter().cloned().collect();
        let answered = !self.response_nonce.is_empty() && named == *wanted;
        wanted.clone_from(&named);
        if answered { BTreeSet::new() } else { named }
    }

    fn rejection(&self) -> Option<&rpc::Status> {
        self.error_detail.as_ref()
    }
}

impl Subscription for DeltaDiscoveryRequest {
    fn apply(&self, wanted: &mut BTreeSet<String>) -> BTreeSet<String> {
        let named: BTreeSet<String> = self.resource_names_subscribe.iter().cloned().collect();
        wanted.extend(named.iter().cloned());
        for name in &self.resource_names_unsubscribe {
            wanted.remove(name);
        }
        named
    }

    fn rejection(&self) -> Option<&rpc::Status> {
        self.error_detail.as_ref()
    }
}

/// Secrets to send.
struct Update {
    names: BTreeSet<String>,
    certificate: Arc<WorkloadCert>,
    nonce: String,
}

// === impl Update ===

impl Update {
    fn secrets(&self) -> impl Iterator<Item = (&String, Secret)> {
        self.names.iter().filter_map(|name| Some((name, secret(name, &self.certificate)?)))
    }

    /// Names that nobody has; without an answer the client would wait for them.
    fn unknown(&self) -> Vec<String> {
        self.names.iter().filter(|name| secret(name, &self.certificate).is_none()).cloned().collect()
    }
}

struct Conversation<R> {
    requests: Streaming<R>,
    source: CertificateSource,
    wanted: BTreeSet<String>,
    sent: u64,
}

fn answers<R: Subscription, A: 'static>(
    requests: Streaming<R>,
    source: CertificateSource,
    answer: impl Fn(Update) -> A + Send + 'static,
) -> impl Stream<Item = Result<A, Status>> + Send {
    let conversation = Conversation { requests, source, wanted: BTreeSet::new(), sent: 0 };
    stream::unfold((conversation, answer), async |(mut conversation, answer)| {
        let update = conversation.next().await?;
        Some((Ok(answer(update)), (conversation, answer)))
    })
}

// === impl Conversation ===

impl<R: Subscription> Conversation<R> {
    /// What to send next; none when the stream is over.
    async fn next(&mut self) -> Option<Update> {
        loop {
            let names = tokio::select! {
                request = self.requests.next() => {
                    // A broken stream is an ended one: Envoy opens another.
                    let request = request?.ok()?;
                    if let Some(rejection) = request.rejection() {
                        tracing::error!(reason = rejection.message, "envoy rejects its certificate or roots");
                    }
                    request.apply(&mut self.wanted)
                }
                changed = self.source.changed() => {
                    // No sender, no agent: it is about to end.
                    changed.ok()?;
                    self.wanted.clone()
                }
            };
            if names.is_empty() {
                continue;
            }
            // After a restart of the agent, Envoy asks before there is a certificate; it has the old one meanwhile.
            let certificate = self.source.wait_for(Option::is_some).await.ok()?.clone()?;
            self.sent += 1;
            return Some(Update { names, certificate, nonce: self.sent.to_string() });
        }
    }
}
