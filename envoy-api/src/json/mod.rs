//! Messages as protobuf's JSON, as Envoy's admin port prints them: fields under their names in the `.proto` files,
//! packed messages open with their `@type`.
//!
//! It goes through reflection on [`DESCRIPTORS`], so every message of the API is known, with or without generated code.
//! The first use reads the descriptors, which takes tens of milliseconds and 18 MB that stay: this is for tests, dumps and
//! people, and for the resources that users change by hand, not for every resource on its way to a proxy. A file for Envoy alone is better written in the binary form, which
//! it takes from a name that ends in `.pb`.

mod canonical;
mod patch;

use std::sync::LazyLock;

use prost::{DecodeError, Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use crate::DESCRIPTORS;

pub use patch::{Lists, Patch};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the extractor linked the descriptors and a test decodes them"));

const OPTIONS: SerializeOptions = SerializeOptions::new().use_proto_field_name(true);

/// Why a message has no JSON, or a JSON no message.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The API has no such message.
    #[error("unknown message {0}")]
    UnknownMessage(String),
    /// The bytes do not fit the descriptor.
    #[error("malformed {message}")]
    Bytes {
        /// The message's full name.
        message: String,
        /// Where decoding stopped.
        #[source]
        source: DecodeError,
    },
    /// A field, value or packed message that can't be written or read, as the error says.
    #[error("{message} as JSON")]
    Json {
        /// The message's full name.
        message: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// All of the API for reflection.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// `message` as JSON; fields with their default value are left out, 64-bit numbers are strings.
pub fn to_value<M: Message + Name>(message: &M) -> Result<Value, JsonError> {
    let descriptor = descriptor(&M::full_name())?;
    let name = descriptor.full_name().to_owned();
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(|source| JsonError::Bytes { message: name.clone(), source })?;
    dynamic.serialize_with_options(serde_json::value::Serializer, &OPTIONS).map_err(|source| JsonError::Json { message: name, source })
}

/// The message in `value`, whose fields may be named as in the `.proto` files or in camel case. Equal values give equal
/// bytes, in packed messages too.
///
/// # Errors
/// Unknown fields and types are refused.
pub fn from_value<M: Message + Name + Default>(value: Value) -> Result<M, JsonError> {
    let descriptor = descriptor(&M::full_name())?;
    let name = descriptor.full_name().to_owned();
    let dynamic = DynamicMessage::deserialize(descriptor, value).map_err(|source| JsonError::Json { message: name.clone(), source })?;
    let bytes = canonical::encode(&dynamic).map_err(|source| JsonError::Bytes { message: name.clone(), source })?;
    M::decode(bytes.as_slice()).map_err(|source| JsonError::Bytes { message: name, source })
}

fn descriptor(name: &str) -> Result<MessageDescriptor, JsonError> {
    pool().get_message_by_name(name).ok_or_else(|| JsonError::UnknownMessage(name.to_owned()))
}
