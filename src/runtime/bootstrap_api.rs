//! How a pod's agent learns from pilot what users change in the configuration with which its Envoy starts: it sends its own, which says
//! whose it is, and gets it back with the changes.
//!
//! Pilot makes the changes because it knows Envoy's types by name, which would cost each agent megabytes. The message is Envoy's own
//! (`envoy.config.bootstrap.v3.Bootstrap`), as whoever serves this says; who asks has it encoded, and does not read the answer: that would
//! take the code for every type that can be in it.

use axum::{Router, routing::post};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use std::future::Future;
use tonic::{
    Request, Response, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tonic_prost::ProstCodec;

const PATH: &str = "/ferromesh.bootstrap.v1.BootstrapService/Change";

/// Largest message that either side accepts. Without changes it has about 4 kB.
const MAX_MESSAGE: usize = 1024 * 1024;

/// The service's one method as a route of a router.
pub fn bootstrap_routes<M, H, F>(handler: H) -> Router
where
    M: Message + Default + 'static,
    H: Fn(Request<M>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<M>, Status>> + Send + 'static,
{
    let call = async move |request: axum::extract::Request| {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<M, M>::default()).max_decoding_message_size(MAX_MESSAGE);
        grpc.unary(tower::service_fn(handler), request).await
    };
    Router::new().route(PATH, post(call))
}

/// Asks pilot for the changes to one's own configuration, and returns it with them; both are encoded.
///
/// # Errors
/// What pilot or the connection answers.
pub async fn change_bootstrap(channel: Channel, own: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(PATH);
    Ok(grpc.unary(Request::new(own), path, Encoded).await?.into_inner())
}

/// Messages that stay as they are encoded.
struct Encoded;

// === impl Encoded ===

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
