//! `istio.v1.auth.IstioCertificateService`, the API by which workloads ask for certificates, as far as the mesh uses it.
//!
//! The messages are written out by hand: two of them do not justify a build step, and the numbers of their fields are fixed for ever.

use axum::{Router, routing::post};
use std::future::Future;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

const PATH: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Largest message that either side accepts. A CSR has about 1 kB, a chain of certificates a few.
const MAX_MESSAGE: usize = 64 * 1024;

/// `IstioCertificateRequest`. The caller proves who it is by its bearer token, beside the message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateRequest {
    /// A certificate signing request in PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// For how many seconds the caller wants the certificate to hold; 0 leaves it to the CA.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// Settings of particular CAs. Ours reads none.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<prost_types::Struct>,
}

/// `IstioCertificateResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateResponse {
    /// PEM certificates: the leaf, then the intermediates if there are any, then the root.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

/// The service's one method as a route of a router; other methods of the service answer *unimplemented*.
pub fn routes<H, F>(handler: H) -> Router
where
    H: Fn(Request<CertificateRequest>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<CertificateResponse>, Status>> + Send + 'static,
{
    let call = async move |request: axum::extract::Request| {
        let codec = ProstCodec::<CertificateResponse, CertificateRequest>::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
        grpc.unary(tower::service_fn(handler), request).await
    };
    Router::new().route(PATH, post(call))
}

/// Calls `CreateCertificate` with `token` as the proof of identity.
///
/// # Errors
/// What the CA or the connection answers. A token that is no legal header value is *unauthenticated*.
pub async fn create_certificate(channel: Channel, request: CertificateRequest, token: &str) -> Result<CertificateResponse, Status> {
    let mut bearer: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| Status::unauthenticated("the token holds characters that no header may have"))?;
    bearer.set_sensitive(true);
    let mut request = Request::new(request);
    request.metadata_mut().insert("authorization", bearer);
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
    Ok(grpc.unary(request, http::uri::PathAndQuery::from_static(PATH), codec).await?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn fields_have_the_numbers_of_the_published_api() {
        let request = CertificateRequest { csr: "x".to_owned(), validity_duration: 5, metadata: Some(prost_types::Struct::default()) };
        assert_eq!(request.encode_to_vec(), [0x0a, 1, b'x', 0x18, 5, 0x22, 0]);
        assert_eq!(CertificateResponse { cert_chain: vec!["y".to_owned()] }.encode_to_vec(), [0x0a, 1, b'y']);
    }
}
