//! Envoy's protobuf API, generated from the descriptors inside the Envoy that we ship.
//!
//! Messages stand under their protobuf packages (`envoy_api::envoy::config::listener::v3::Listener`), gRPC clients and
//! servers beside them; `roots.txt` says for which files. google.protobuf's own types are those of [`prost_types`], its
//! wrappers plain `Option`s. Maps are ordered, so equal messages have equal bytes.

mod any;
#[cfg(feature = "json")]
pub mod json;

/// What `build.rs` makes of the descriptors. Lints stop here: nobody wrote this.
#[allow(missing_docs, unreachable_pub, rustdoc::all, clippy::all, clippy::unwrap_used)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/envoy_api.rs"));
}

pub use any::{UnpackError, any, type_url, unpack};
pub use generated::{cel, envoy, google, opentelemetry, udpa, xds};

/// The descriptors of all of the API, a serialised `google.protobuf.FileDescriptorSet`; each file follows its imports.
pub static DESCRIPTORS: &[u8] = include_bytes!("../descriptors.binpb");
