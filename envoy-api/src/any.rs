//! Messages in `google.protobuf.Any`, which is how Envoy takes its extensions and resources.

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// `message` in its packaging.
pub fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// What an [`Any`] that holds an `M` says of its type: `type.googleapis.com/` and the message's full name.
pub fn type_url<M: Name>() -> String {
    M::type_url()
}

/// Why an [`Any`] does not give the message that it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It holds a message of another type.
    #[error("expected {expected}, found {found:?}")]
    Type {
        /// The URL of the type that was asked for.
        expected: String,
        /// The URL in the packaging.
        found: String,
    },
    /// Its bytes are not a message of the type that it names.
    #[error("malformed {type_url}")]
    Bytes {
        /// The URL in the packaging.
        type_url: String,
        /// Where decoding stopped.
        #[source]
        source: DecodeError,
    },
}

/// The message in `any`, which must be an `M`.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    // As in the protobuf libraries, only what follows the last slash counts.
    let found = any.type_url.rsplit('/').next().unwrap_or_default();
    if found != M::full_name() {
        return Err(UnpackError::Type { expected: M::type_url(), found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| UnpackError::Bytes { type_url: any.type_url.clone(), source })
}
