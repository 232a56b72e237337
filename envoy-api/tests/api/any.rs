//! Packed messages.

use envoy_api::envoy::extensions::filters::http::router::v3::Router;
use envoy_api::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_api::{UnpackError, any, type_url, unpack};

#[test]
fn packed_message_comes_out_as_it_went_in() {
    let router = Router { suppress_envoy_headers: true, ..Default::default() };
    let packed = any(&router);
    assert_eq!(packed.type_url, "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router");
    assert_eq!(packed.type_url, type_url::<Router>());
    assert_eq!(unpack::<Router>(&packed).expect("a Router"), router);
}

#[test]
fn packed_message_of_another_type_is_refused() {
    let error = unpack::<RawBuffer>(&any(&Router::default())).expect_err("not a RawBuffer");
    assert_eq!(
        error.to_string(),
        "expected type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer, \
         found \"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\""
    );
}

#[test]
fn packed_message_with_broken_bytes_is_refused() {
    let mut packed = any(&Router::default());
    packed.value = vec![0xff];
    assert!(matches!(unpack::<Router>(&packed), Err(UnpackError::Bytes { .. })));
}
