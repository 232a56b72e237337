//! gRPC messages as bytes, read piece by piece.
//!
//! Thousands of streams get megabytes each at the same time. So no response is held as a whole: its resources are passed on one by one,
//! and of their bodies only those are kept that name further resources.

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::kind::Kind;

/// The head of a gRPC message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;
/// The longest head of a field: two varints.
const FIELD_HEAD: usize = 20;

/// A resource of a `DeltaDiscoveryResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawResource {
    pub(super) name: Vec<u8>,
    pub(super) version: Vec<u8>,
    pub(super) type_url: Vec<u8>,
    /// Empty for kinds that name no others.
    pub(super) body: Vec<u8>,
}

/// A `DeltaDiscoveryResponse` of whose resources only what the reader's user made of each is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response<T> {
    pub(super) type_url: String,
    pub(super) nonce: String,
    pub(super) resources: Vec<T>,
    pub(super) removed: Vec<String>,
}

/// What encloses the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Nothing: the next gRPC message begins.
    Frame,
    Response,
    Resource,
    Any,
}

/// A field whose content is being read.
#[derive(Clone, Copy, Debug)]
struct Field {
    number: u64,
    left: usize,
}

/// Reads the responses of one stream.
#[derive(Debug)]
pub(super) struct Reader<T> {
    level: Level,
    /// How many bytes of the stream have been read.
    at: usize,
    /// Where the open levels end, [`Level::Response`] first.
    ends: [usize; 3],
    field: Option<Field>,
    /// The begin of a head that is not there as a whole, or the content of a field.
    held: Vec<u8>,
    resource: RawResource,
    response: Response<T>,
}

// === impl Reader ===

impl<T> Reader<T> {
    pub(super) fn new() -> Self {
        Self {
            level: Level::Frame,
            at: 0,
            ends: [0; 3],
            field: None,
            held: Vec::new(),
            resource: RawResource::default(),
            response: Response::default(),
        }
    }

    /// Takes the stream's next bytes; returns the responses that they end. Each resource is passed to `take` once it is complete.
    ///
    /// # Errors
    /// When that is no stream of responses.
    pub(super) fn push(&mut self, mut input: &[u8], mut take: impl FnMut(&RawResource) -> T) -> anyhow::Result<Vec<Response<T>>> {
        let mut responses = Vec::new();
        loop {
            while self.field.is_none() && self.held.is_empty() && self.level != Level::Frame && self.at == self.end() {
                responses.extend(self.leave(&mut take));
            }
            if input.is_empty() {
                return Ok(responses);
            }
            input = if self.field.is_some() { self.content(input)? } else { self.head(input)? };
            ensure!(self.at <= self.end(), "the head of a field is longer than what encloses it");
        }
    }

    /// Where the current level ends.
    fn end(&self) -> usize {
        match self.level {
            Level::Frame => usize::MAX,
            level => self.ends[level as usize - 1],
        }
    }

    fn enter(&mut self, level: Level, length: usize) {
        self.level = level;
        self.ends[level as usize - 1] = self.at + length;
        match level {
            Level::Resource => {
                let RawResource { name, version, type_url, body } = &mut self.resource;
                [name, version, type_url, body].into_iter().for_each(Vec::clear);
            }
            Level::Response => self.response = Response::default(),
            _ => {}
        }
    }

    fn leave(&mut self, take: &mut impl FnMut(&RawResource) -> T) -> Option<Response<T>> {
        let (outer, response) = match self.level {
            Level::Any => (Level::Resource, None),
            Level::Resource => {
                self.response.resources.push(take(&self.resource));
                (Level::Response, None)
            }
            Level::Response | Level::Frame => (Level::Frame, Some(std::mem::take(&mut self.response))),
        };
        self.level = outer;
        response
    }

    /// Reads a head as far as it is there.
    fn head<'a>(&mut self, input: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        if self.level == Level::Frame {
            let taken = input.len().min(FRAME_HEAD - self.held.len());
            self.held.extend_from_slice(&input[..taken]);
            self.at += taken;
            if let [compressed, a, b, c, d] = self.held[..] {
                ensure!(compressed == 0, "a message is compressed");
                self.held.clear();
                self.enter(Level::Response, u32::from_be_bytes([a, b, c, d]) as usize);
            }
            return Ok(&input[taken..]);
        }
        if self.held.is_empty()
            && let Some((head, length)) = FieldHead::read(input)
        {
            self.at += length;
            self.begin(head)?;
            return Ok(&input[length..]);
        }
        // The head is split between pieces.
        self.held.push(input[0]);
        self.at += 1;
        if let Some((head, _)) = FieldHead::read(&self.held) {
            self.held.clear();
            self.begin(head)?;
        }
        ensure!(self.held.len() < FIELD_HEAD, "a field has no end to its head");
        Ok(&input[1..])
    }

    fn begin(&mut self, FieldHead { number, content }: FieldHead) -> anyhow::Result<()> {
        ensure!(content <= self.end().saturating_sub(self.at), "a field is longer than what encloses it");
        match (self.level, number) {
            (Level::Response, 2) => self.enter(Level::Resource, content),
            (Level::Resource, 2) => self.enter(Level::Any, content),
            _ => {
                self.field = Some(Field { number, left: content });
                if content == 0 {
                    self.finish()?;
                }
            }
        }
        Ok(())
    }

    /// Reads a field's content as far as it is there.
    fn content<'a>(&mut self, input: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let Some(field) = &mut self.field else { return Ok(input) };
        let (piece, rest) = input.split_at(field.left.min(input.len()));
        field.left -= piece.len();
        let ended = field.left == 0;
        match (self.level, field.number) {
            (Level::Resource, 1) => self.resource.version.extend_from_slice(piece),
            (Level::Resource, 3) => self.resource.name.extend_from_slice(piece),
            (Level::Any, 1) => self.resource.type_url.extend_from_slice(piece),
            (Level::Any, 2) if Kind::of(&self.resource.type_url).is_none_or(Kind::names_others) => {
                self.resource.body.extend_from_slice(piece);
            }
            (Level::Response, 4..=6) => self.held.extend_from_slice(piece),
            _ => {}
        }
        self.at += piece.len();
        if ended {
            self.finish()?;
        }
        Ok(rest)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let number = self.field.take().map_or(0, |field| field.number);
        if self.level == Level::Response && (4..=6).contains(&number) {
            let text = String::from_utf8(std::mem::take(&mut self.held)).context("a name in a response is no text")?;
            match number {
                4 => self.response.type_url = text,
                5 => self.response.nonce = text,
                _ => self.response.removed.push(text),
            }
        }
        Ok(())
    }
}

impl<T> Default for Response<T> {
    fn default() -> Self {
        Self { type_url: String::new(), nonce: String::new(), resources: Vec::new(), removed: Vec::new() }
    }
}

/// What a field is, and how many bytes of it follow. A number follows nothing: it is in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FieldHead {
    number: u64,
    content: usize,
}

// === impl FieldHead ===

impl FieldHead {
    /// The head at the begin of `bytes` and its length; none if it is not there as a whole.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (key, key_length) = varint(bytes)?;
        let number = key >> 3;
        Some(match key & 7 {
            1 => (Self { number, content: 8 }, key_length),
            5 => (Self { number, content: 4 }, key_length),
            wire => {
                let (value, length) = varint(&bytes[key_length..])?;
                let content = if wire == 2 { usize::try_from(value).ok()? } else { 0 };
                (Self { number, content }, key_length + length)
            }
        })
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Takes gRPC messages out of a stream's bytes.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: BytesMut,
}

// === impl Messages ===

impl Messages {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    ///
    /// # Errors
    /// When it is compressed.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        let Some(length) = frame_len(&self.bytes).filter(|length| *length <= self.bytes.len()) else { return Ok(None) };
        ensure!(self.bytes[0] == 0, "a message is compressed");
        let mut frame = self.bytes.split_to(length);
        Ok(Some(frame.split_off(FRAME_HEAD).freeze()))
    }
}

/// The length of the gRPC message that `bytes` begins with, with its head; none if the head is not there as a whole.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let [_, a, b, c, d, ..] = *bytes else { return None };
    Some(FRAME_HEAD + u32::from_be_bytes([a, b, c, d]) as usize)
}

/// The texts of a message's fields of that number. Nothing else of it is decoded.
pub(super) fn texts(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (head, length) = FieldHead::read(message)?;
            let (content, rest) = message[length..].split_at_checked(head.content)?;
            message = rest;
            if head.number == number {
                return Some(content);
            }
        }
    })
}

/// A message with its head.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_api::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
    use prost_types::Any;

    fn resource(kind: Kind, name: &str, body: &[u8]) -> Resource {
        let any = Any { type_url: kind.type_url().to_owned(), value: body.to_vec() };
        let (name, version) = (name.to_owned(), format!("v-{name}"));
        // Fields that nobody reads: a text that repeats, and a nested message.
        let (aliases, ttl) = (vec!["alias".to_owned()], Some(prost_types::Duration { seconds: 300, nanos: 5 }));
        Resource { name, version, aliases, ttl, resource: Some(any), ..Resource::default() }
    }

    fn response(kind: Kind, nonce: &str, resources: Vec<Resource>) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            system_version_info: "x".repeat(300),
            type_url: kind.type_url().to_owned(),
            nonce: nonce.to_owned(),
            removed_resources: vec!["gone".to_owned(), "lost".to_owned()],
            resources,
            ..DeltaDiscoveryResponse::default()
        }
    }

    /// Reads the stream in pieces of that length.
    fn read(stream: &[u8], piece: usize) -> Vec<Response<RawResource>> {
        let mut reader = Reader::new();
        stream.chunks(piece).flat_map(|piece| reader.push(piece, RawResource::clone).unwrap()).collect()
    }

    #[test]
    fn responses_are_read_whatever_the_pieces() {
        let long = vec![7; 40_000];
        let clusters = vec![resource(Kind::Clusters, "a", b"body"), resource(Kind::Clusters, "b", &long)];
        let endpoints = vec![resource(Kind::Endpoints, "a", &long), resource(Kind::Endpoints, "", b"")];
        let empty = DeltaDiscoveryResponse::default();
        let stream =
            [framed(&response(Kind::Clusters, "1", clusters)), framed(&empty), framed(&response(Kind::Endpoints, "2", endpoints))].concat();
        for piece in [1, 2, 3, 7, 1000, 16_384, stream.len()] {
            let [clusters, empty, endpoints] = &read(&stream, piece)[..] else { panic!("three responses, pieces of {piece}") };
            assert_eq!((clusters.type_url.as_str(), clusters.nonce.as_str()), (Kind::Clusters.type_url(), "1"));
            assert_eq!(clusters.removed, ["gone", "lost"]);
            let names: Vec<&[u8]> = clusters.resources.iter().map(|resource| &resource.name[..]).collect();
            assert_eq!(names, [b"a", b"b"]);
            assert_eq!((&clusters.resources[0].version[..], &clusters.resources[0].body[..]), (&b"v-a"[..], &b"body"[..]));
            assert_eq!(clusters.resources[1].body, long);
            assert_eq!(*empty, Response::default());
            // A body of endpoints names nothing: it is not kept.
            assert_eq!((&endpoints.resources[0].name[..], endpoints.resources[0].body.len()), (&b"a"[..], 0));
            assert_eq!((endpoints.resources.len(), endpoints.nonce.as_str()), (2, "2"));
        }
    }

    #[test]
    fn nonsense_is_an_error_and_not_a_panic() {
        let mut reader = Reader::new();
        assert!(reader.push(&[1, 0, 0, 0, 0], |_| ()).is_err(), "compressed");
        let mut reader = Reader::new();
        // A resource of 100 bytes in a response of 3.
        assert!(reader.push(&[0, 0, 0, 0, 3, 0x12, 100, 0x0a, 50, 0], |_| ()).is_err());
    }

    #[test]
    fn messages_and_their_texts_are_found() {
        let request = DeltaDiscoveryRequest {
            node: Some(envoy_api::envoy::config::core::v3::Node { id: "n".to_owned(), ..Default::default() }),
            type_url: "type".to_owned(),
            resource_names_subscribe: vec!["a".to_owned(), "b".to_owned()],
            response_nonce: "7".to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        let stream = [framed(&request), framed(&request)].concat();
        let (mut messages, mut found) = (Messages::default(), Vec::new());
        for piece in stream.chunks(3) {
            messages.push(piece);
            found.extend(messages.next().unwrap());
        }
        assert_eq!(found.len(), 2);
        assert_eq!(texts(&found[1], 2).next(), Some(&b"type"[..]));
        assert_eq!(texts(&found[1], 3).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(texts(&found[1], 9).next(), None);
    }
}
