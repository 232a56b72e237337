//! Asking the application in the kubelet's place.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{
    Status,
    probe::{Grpc, Handler, HttpGet, Scheme},
    tls::unverified,
};
use crate::agent::http::{HttpError, connect_application, send, text, within};
use crate::runtime::causes;

/// As much of an application's complaint as the kubelet shows.
const SHOWN: usize = 10 * 1024;
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `/app-health/CONTAINER/PROBE` and `/app-lifecycle/CONTAINER/HOOK`.
pub(super) async fn probe(State(status): State<Arc<Status>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(probe) = status.probes.get(uri.path()) else {
        return (StatusCode::NOT_FOUND, "the pod has no such probe\n").into_response();
    };
    let answer = match &probe.handler {
        Handler::Http(get) => http_get(get, status.address, &headers, probe.timeout).await,
        Handler::Tcp(port) => {
            let address = SocketAddr::new(status.address, port.port);
            within(probe.timeout, connect_application(address)).await.map(|_| StatusCode::OK.into_response())
        }
        Handler::Grpc(grpc) => grpc_check(grpc, status.address, probe.timeout).await,
    };
    answer.unwrap_or_else(|error| {
        let error = causes(&error);
        tracing::debug!(path = uri.path(), error, "probe failed");
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
    })
}

async fn http_get(get: &HttpGet, pod: IpAddr, asked: &HeaderMap, limit: Duration) -> Result<Response, HttpError> {
    // A probe may name another address of the pod; a name only tells the application which of its hosts is meant.
    let address = SocketAddr::new(get.host.parse().unwrap_or(pod), get.port);
    let host = if get.host.is_empty() { address.to_string() } else { format!("{}:{}", get.host, get.port) };
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let mut request = http::Request::get(path).body(Empty::<Bytes>::new())?;
    *request.headers_mut() = forwarded(get, asked, &host);
    within(limit, async {
        let stream = connect_application(address).await?;
        let response = match get.scheme {
            Scheme::Http => send(stream, request).await?,
            Scheme::Https => {
                let name = if get.host.is_empty() { address.ip().to_string() } else { get.host.clone() };
                send(unverified(stream, &name).await?, request).await?
            }
        };
        verdict(response).await
    })
    .await
}

/// The kubelet's headers, which hold a user's own, with the probe's over them.
fn forwarded(get: &HttpGet, asked: &HeaderMap, host: &str) -> HeaderMap {
    let mut headers = asked.clone();
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::UPGRADE, header::HOST] {
        headers.remove(hop);
    }
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    for own in &get.http_headers {
        // Kubernetes has refused names and values that are none.
        if let (Ok(name), Ok(value)) = (own.name.parse::<HeaderName>(), HeaderValue::from_str(&own.value)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// The kubelet counts redirects as success, and would follow them to the agent.
async fn verdict(response: http::Response<Incoming>) -> Result<Response, HttpError> {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(StatusCode::OK.into_response());
    }
    // A complaint that is too long to show is left out.
    Ok((status, text(response, SHOWN).await.unwrap_or_default()).into_response())
}

async fn grpc_check(grpc: &Grpc, pod: IpAddr, limit: Duration) -> Result<Response, HttpError> {
    let address = SocketAddr::new(pod, grpc.port);
    within(limit, async {
        let channel = channel(address).await?;
        let mut client = tonic::client::Grpc::new(channel);
        let request = tonic::Request::new(HealthCheckRequest { service: grpc.service.clone().unwrap_or_default() });
        client.ready().await.map_err(|error| HttpError::Body(error.to_string()))?;
        let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let answer = client.unary(request, http::uri::PathAndQuery::from_static(CHECK), codec).await;
        Ok(match answer {
            Ok(answer) if answer.get_ref().status == SERVING => StatusCode::OK.into_response(),
            Ok(answer) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("the service's status is {}\n", answer.get_ref().status)).into_response()
            }
            Err(status) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", status.message())).into_response(),
        })
    })
    .await
}

async fn channel(address: SocketAddr) -> Result<Channel, HttpError> {
    let connector = tower::service_fn(move |_| async move { connect_application(address).await.map(TokioIo::new) });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| HttpError::Body(error.to_string()))?;
    let refused = |error: tonic::transport::Error| HttpError::Connect { address, source: std::io::Error::other(error) };
    endpoint.connect_with_connector(connector).await.map_err(refused)
}
