//! Requests from bytes: gRPC's frames, and the message in each.
//!
//! A proxy says little after it came, but its first requests name all that it holds. So the room for a message is given back with the
//! message: a thousand proxies that are silent hold nothing here. (A reader that keeps its room for the next message would keep more than
//! all else that a proxy costs.)

use std::marker::PhantomData;

use axum::body::Body;
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;

/// Largest request. A proxy that reconnects names every resource that it holds with its version: 5,000 of them make half a megabyte.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// Before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// The requests of one stream.
#[derive(Debug)]
pub(super) struct Incoming<M> {
    body: Body,
    /// What has come of the next messages.
    gathered: BytesMut,
    message: PhantomData<fn() -> M>,
}

// === impl Incoming ===

impl<M: Message + Default> Incoming<M> {
    /// Reads requests from a body.
    pub(super) fn new(body: Body) -> Self {
        Self { body, gathered: BytesMut::new(), message: PhantomData }
    }

    /// The next request; none at the end. Who stops to wait loses nothing.
    ///
    /// # Errors
    /// With the status that ends the stream, when the connection breaks or what comes is no request.
    pub(super) async fn next(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.gathered.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(Status::from_error(error.into())),
                None if self.gathered.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended within a request")),
            }
        }
    }

    /// The next request, if all of it has come.
    fn take(&mut self) -> Result<Option<M>, Status> {
        let Some((mut head, _)) = self.gathered.split_at_checked(HEAD) else { return Ok(None) };
        if head.get_u8() != 0 {
            return Err(Status::unimplemented("compressed requests are not read"));
        }
        let length = head.get_u32() as usize;
        if length > MAX_REQUEST {
            return Err(Status::out_of_range(format!("a request of {length} bytes is too large: at most {MAX_REQUEST} are read")));
        }
        let Some(message) = self.gathered.get(HEAD..HEAD + length) else { return Ok(None) };
        let message = M::decode(message).map_err(|error| Status::internal(format!("the request can't be read: {error}")))?;
        self.gathered.advance(HEAD + length);
        if self.gathered.is_empty() {
            self.gathered = BytesMut::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, Bytes};
    use envoy_api::envoy::service::discovery::v3::DeltaDiscoveryRequest as Request;
    use futures::stream;
    use std::convert::Infallible;
    use tonic::Code;

    fn request(nonce: &str) -> Request {
        Request { response_nonce: nonce.to_owned(), ..Request::default() }
    }

    fn framed(requests: &[Request]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for request in requests {
            bytes.put_u8(0);
            bytes.put_u32(u32::try_from(request.encoded_len()).unwrap());
            request.encode(&mut bytes).unwrap();
        }
        bytes
    }

    fn incoming(bytes: &[u8], piece: usize) -> Incoming<Request> {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
        Incoming::new(Body::from_stream(stream::iter(pieces)))
    }

    #[tokio::test]
    async fn requests_are_read_however_they_are_cut() {
        let requests = [request("first"), request(""), request(&"long".repeat(1000))];
        let bytes = framed(&requests);
        for piece in [1, 2, 7, 1000, bytes.len()] {
            let mut incoming = incoming(&bytes, piece);
            for request in &requests {
                assert_eq!(incoming.next().await.unwrap().as_ref(), Some(request));
            }
            assert_eq!(incoming.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_request_that_was_read_leaves_nothing_behind() {
        let mut incoming = incoming(&framed(&[request(&"long".repeat(100_000)), request("next")]), usize::MAX);
        incoming.next().await.unwrap();
        assert!(incoming.gathered.capacity() > 0, "the next one is here already");
        incoming.next().await.unwrap();
        assert_eq!(incoming.gathered.capacity(), 0);
    }

    #[tokio::test]
    async fn what_is_no_request_ends_the_stream() {
        let whole = framed(&[request("first")]);
        let cases: [(&[u8], Code); 4] = [
            (&whole[..whole.len() - 1], Code::Internal),
            (&[1, 0, 0, 0, 0], Code::Unimplemented),
            (&[0, 0, 0, 0, 2, 0xff, 0xff], Code::Internal),
            // Refused by its head alone.
            (&[0, 0xff, 0xff, 0xff, 0xff], Code::OutOfRange),
        ];
        for (bytes, code) in cases {
            assert_eq!(incoming(bytes, usize::MAX).next().await.unwrap_err().code(), code, "{bytes:?}");
        }
    }
}
