//! Responses as bytes: gRPC frames that are made piece by piece, while the proxy reads them.
//!
//! A thousand proxies may get megabytes each at the same time. So a response is never built as a whole: it leaves in chunks, made when the
//! connection has room for them and shared by proxies that are sent the same resources. The messages are `DeltaDiscoveryResponse` with its
//! `Resource`, and `DiscoveryResponse`, of `envoy.service.discovery.v3`; the fields' numbers are fixed for ever.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    chunks::SharedChunks,
    session::{Response, nonce_text},
};
use crate::compile::Resource;

/// Chunks are as large as one TLS record holds, beside the head of the HTTP/2 frame that it becomes.
const CHUNK: usize = 16 * 1024 - 9;

/// Before a message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// After one of so many resources a chunk ends in any case. Where depends on the resource, so that proxies which are sent the same among
/// others soon have the same chunks again.
const RESOURCES_BETWEEN_CUTS: u64 = 64;

/// How a length-delimited field begins. All numbers of fields here are below 16, so one byte holds number and wire type.
const fn key(field: u8) -> u8 {
    (field << 3) | 2
}

/// Which message a response becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `DeltaDiscoveryResponse`.
    Delta,
    /// `DiscoveryResponse`, which has no names.
    Whole,
}

/// A response on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    form: Form,
    head: Bytes,
    resources: Vec<Arc<Resource>>,
    /// How many of them have left.
    left: usize,
    /// What is left of a body that is larger than a chunk.
    large: Bytes,
    size: usize,
}

// === impl Outgoing ===

impl Outgoing {
    /// The response, to which `version` is added for people who look at the proxy.
    pub(super) fn new(response: Response, form: Form, version: u64) -> Self {
        let mut head = BytesMut::new();
        put_text(&mut head, 1, &version.to_string());
        put_text(&mut head, 4, &response.type_url);
        put_text(&mut head, 5, &nonce_text(response.nonce));
        if form == Form::Delta {
            response.removed.iter().for_each(|name| put_text(&mut head, 6, name));
        }
        let size = head.len() + response.resources.iter().map(|resource| resource_len(form, resource)).sum::<usize>();
        let mut frame = BytesMut::with_capacity(FRAME_HEAD + head.len());
        // Not compressed.
        frame.put_u8(0);
        frame.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
        frame.extend_from_slice(&head);
        Self { form, head: frame.freeze(), resources: response.resources, left: 0, large: Bytes::new(), size }
    }

    /// The length of the message.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The next bytes; none at the end. `shared` has chunks that other proxies were sent.
    pub(super) fn next_chunk(&mut self, shared: &SharedChunks) -> Option<Bytes> {
        if !self.large.is_empty() {
            return Some(self.large.split_to(self.large.len().min(CHUNK)));
        }
        let head = std::mem::take(&mut self.head);
        if !head.is_empty() && FRAME_HEAD + self.size <= CHUNK {
            // All of a small response, which is as quickly made as looked for.
            self.left = self.resources.len();
            return Some(encoded(&head, self.form, &self.resources));
        }
        if !head.is_empty() {
            return Some(head);
        }
        let start = self.left;
        self.left += self.next_run();
        match &self.resources[start..self.left] {
            [] => None,
            [large] if resource_len(self.form, large) > CHUNK => {
                self.large = large.body.clone();
                let mut head = BytesMut::new();
                put_resource_head(&mut head, self.form, large);
                Some(head.freeze())
            }
            run => Some(shared.of(self.form, run, || encoded(&[], self.form, run))),
        }
    }

    /// How many resources the next chunk has.
    fn next_run(&self) -> usize {
        let (mut count, mut length) = (0, 0);
        for resource in &self.resources[self.left..] {
            length += resource_len(self.form, resource);
            if count > 0 && length > CHUNK {
                break;
            }
            count += 1;
            if resource.hash.is_multiple_of(RESOURCES_BETWEEN_CUTS) {
                break;
            }
        }
        count
    }
}

/// Resources behind a head.
fn encoded(head: &[u8], form: Form, resources: &[Arc<Resource>]) -> Bytes {
    let length = resources.iter().map(|resource| resource_len(form, resource)).sum::<usize>();
    let mut chunk = BytesMut::with_capacity(head.len() + length);
    chunk.extend_from_slice(head);
    for resource in resources {
        put_resource_head(&mut chunk, form, resource);
        chunk.extend_from_slice(&resource.body);
    }
    chunk.freeze()
}

/// The length of a resource within a message.
fn resource_len(form: Form, resource: &Resource) -> usize {
    field_len(Lengths::of(resource).outer(form))
}

/// The lengths of a resource's nested messages.
struct Lengths {
    any: usize,
    resource: usize,
}

// === impl Lengths ===

impl Lengths {
    fn outer(&self, form: Form) -> usize {
        match form {
            Form::Delta => self.resource,
            Form::Whole => self.any,
        }
    }

    fn of(resource: &Resource) -> Self {
        let any = field_len(resource.kind.type_url().len()) + field_len(resource.body.len());
        Self { any, resource: field_len(VERSION_LEN) + field_len(resource.name.len()) + field_len(any) }
    }
}

/// A hash as sixteen hexadecimal digits.
const VERSION_LEN: usize = 16;

/// The xDS version of a resource.
pub(in crate::pilot) fn version_text(hash: u64) -> String {
    format!("{hash:016x}")
}

/// All of a resource but its body, which is the last of its bytes.
fn put_resource_head(buffer: &mut BytesMut, form: Form, resource: &Resource) {
    let lengths = Lengths::of(resource);
    put_key(buffer, 2, lengths.outer(form));
    if form == Form::Delta {
        put_text(buffer, 1, &version_text(resource.hash));
        put_text(buffer, 3, &resource.name);
        put_key(buffer, 2, lengths.any);
    }
    put_text(buffer, 1, resource.kind.type_url());
    put_key(buffer, 2, resource.body.len());
}

fn put_text(buffer: &mut BytesMut, field: u8, text: &str) {
    put_key(buffer, field, text.len());
    buffer.extend_from_slice(text.as_bytes());
}

fn put_key(buffer: &mut BytesMut, field: u8, length: usize) {
    buffer.put_u8(key(field));
    let mut rest = length;
    while rest >= 0x80 {
        buffer.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

/// The length of a field whose content has `length` bytes.
fn field_len(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::ResourceType;
    use envoy_api::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
    use prost::Message;

    fn sent<M: Message + Default>(response: Response, form: Form) -> (Vec<usize>, M) {
        let mut outgoing = Outgoing::new(response, form, 7);
        let (size, shared) = (outgoing.size(), SharedChunks::default());
        let chunks: Vec<Bytes> = std::iter::from_fn(|| outgoing.next_chunk(&shared)).collect();
        let bytes = chunks.concat();
        assert_eq!(bytes[0], 0);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        assert_eq!(size, bytes.len() - 5);
        (chunks.iter().map(Bytes::len).collect(), M::decode(&bytes[5..]).unwrap())
    }

    #[test]
    fn a_response_reads_back_as_the_published_message() {
        let cluster = Resource::of(ResourceType::Cluster, "outbound|80||a", "body", &[]);
        let type_url: Arc<str> = ResourceType::Cluster.type_url().into();
        let response = Response { type_url: type_url.clone(), nonce: 0x1f, resources: vec![cluster.clone()], removed: vec!["gone".into()] };
        let (_, whole) = sent::<DiscoveryResponse>(response.clone(), Form::Whole);
        assert_eq!((whole.nonce.as_str(), whole.version_info.as_str(), whole.type_url.as_str()), ("1f", "7", &*type_url));
        assert_eq!((whole.resources.len(), &whole.resources[0].value[..]), (1, &cluster.body[..]));
        let (_, message) = sent::<DeltaDiscoveryResponse>(response, Form::Delta);
        assert_eq!((message.nonce.as_str(), message.system_version_info.as_str(), message.type_url.as_str()), ("1f", "7", &*type_url));
        assert_eq!(message.removed_resources, ["gone"]);
        let [resource] = &message.resources[..] else { panic!("one resource") };
        assert_eq!((resource.name.as_str(), &resource.version), ("outbound|80||a", &version_text(cluster.hash)));
        let any = resource.resource.as_ref().unwrap();
        assert_eq!((any.type_url.as_str(), &any.value[..]), (&*type_url, &cluster.body[..]));
    }

    #[test]
    fn an_empty_response_is_one_too() {
        let response = Response { type_url: "x".into(), nonce: 1, resources: Vec::new(), removed: Vec::new() };
        let (_, message) = sent::<DeltaDiscoveryResponse>(response, Form::Delta);
        assert_eq!((message.type_url.as_str(), message.resources.len()), ("x", 0));
    }

    #[test]
    fn a_large_response_leaves_in_chunks_of_a_record_each() {
        let many = (0..1000).map(|n| Resource::of(ResourceType::Cluster, &format!("c{n}"), &"x".repeat(100 + n), &[]));
        let large = Resource::of(ResourceType::Cluster, "large", &"y".repeat(3 * CHUNK), &[]);
        let resources: Vec<_> = many.chain([large.clone()]).collect();
        let response = Response { type_url: ResourceType::Cluster.type_url().into(), nonce: 1, resources, removed: Vec::new() };
        let (chunks, message) = sent::<DeltaDiscoveryResponse>(response, Form::Delta);
        assert_eq!(message.resources.len(), 1001);
        assert!(chunks.len() > 10);
        assert!(chunks.iter().all(|length| *length <= CHUNK), "{chunks:?}");
    }

    #[test]
    fn proxies_that_are_sent_the_same_among_others_share_its_chunks() {
        let common: Vec<_> =
            (0..1000).map(|n| Resource::of(ResourceType::Cluster, &format!("c{n}"), &format!("{n}").repeat(100), &[])).collect();
        let shared = SharedChunks::default();
        // Of another length each, so that no chunk would begin at the same resource again by itself.
        let sent = |own: usize, form| {
            let own = Resource::of(ResourceType::Cluster, "own", &"o".repeat(own), &[]);
            let resources = [own].iter().chain(&common).cloned().collect();
            let response = Response { type_url: ResourceType::Cluster.type_url().into(), nonce: 1, resources, removed: Vec::new() };
            let mut outgoing = Outgoing::new(response, form, 7);
            std::iter::from_fn(|| outgoing.next_chunk(&shared)).collect::<Vec<_>>()
        };
        let [one, other, whole] = [sent(1, Form::Delta), sent(5_000, Form::Delta), sent(1, Form::Whole)];
        let differ = |a: &[Bytes], b: &[Bytes]| a.iter().filter(|chunk| !b.iter().any(|it| it.as_ptr() == chunk.as_ptr())).count();
        assert!(one.len() > 20 && differ(&one, &other) < one.len() / 3, "{} of {}", differ(&one, &other), one.len());
        assert_eq!(differ(&whole, &one), whole.len());
    }
}
