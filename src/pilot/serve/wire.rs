//! Responses as bytes: gRPC frames that are made piece by piece, while the proxy reads them.
//!
//! A thousand proxies may get megabytes each at the same time. So a response is never built as a whole: its resources' bodies are shared
//! with the compiler, and what stands between them is written when the connection has room for it. The messages are
//! `DeltaDiscoveryResponse` with its `Resource`, and `DiscoveryResponse`, of `envoy.service.discovery.v3`; the fields' numbers are fixed
//! for ever.

use std::{collections::VecDeque, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use super::session::{Response, nonce_text};
use crate::compile::Resource;

/// Of so many bytes a chunk is passed on: two TLS records, so that small resources cost no record each.
const CHUNK: usize = 32 * 1024;

/// How a length-delimited field begins. All numbers of fields here are below 16, so one byte holds number and wire type.
const fn key(field: u8) -> u8 {
    (field << 3) | 2
}

/// Which message a response becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    head: Option<Bytes>,
    resources: VecDeque<Arc<Resource>>,
    /// A body that is large enough to be passed on as it is.
    large: Option<Bytes>,
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
        let lengths = response.resources.iter().map(|resource| field_len(Lengths::of(resource).outer(form)));
        let size = head.len() + lengths.sum::<usize>();
        let mut frame = BytesMut::with_capacity(head.len() + 5);
        // Not compressed.
        frame.put_u8(0);
        frame.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
        frame.extend_from_slice(&head);
        Self { form, head: Some(frame.freeze()), resources: response.resources.into(), large: None, size }
    }

    /// The length of the message.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The next bytes; none at the end.
    pub(super) fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(body) = self.large.take() {
            return Some(body);
        }
        let mut chunk = BytesMut::new();
        if let Some(head) = self.head.take() {
            chunk.extend_from_slice(&head);
        }
        while chunk.len() < CHUNK
            && let Some(resource) = self.resources.pop_front()
        {
            put_resource_head(&mut chunk, self.form, &resource);
            if resource.body.len() >= CHUNK {
                self.large = Some(resource.body.clone());
                break;
            }
            chunk.extend_from_slice(&resource.body);
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }
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
        let size = outgoing.size();
        let chunks: Vec<Bytes> = std::iter::from_fn(|| outgoing.next_chunk()).collect();
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
    fn a_large_response_leaves_in_chunks_and_large_bodies_are_not_copied() {
        let many = (0..1000).map(|n| Resource::of(ResourceType::Cluster, &format!("c{n}"), &"x".repeat(100 + n), &[]));
        let large = Resource::of(ResourceType::Cluster, "large", &"y".repeat(3 * CHUNK), &[]);
        let resources: Vec<_> = many.chain([large.clone()]).collect();
        let response = Response { type_url: ResourceType::Cluster.type_url().into(), nonce: 1, resources, removed: Vec::new() };
        let (chunks, message) = sent::<DeltaDiscoveryResponse>(response, Form::Delta);
        assert_eq!(message.resources.len(), 1001);
        assert!(chunks.len() > 10);
        assert!(chunks.iter().all(|length| *length < 2 * CHUNK || *length == large.body.len()), "{chunks:?}");
    }
}
