//! Changes to messages: what a person wrote as JSON, merged into what a program made.

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, ReflectMessage, Value as Field};
use prost_types::Any;
use serde_json::Value;

use super::{JsonError, canonical, descriptor, pool};

/// Messages that are one value: merged field by field, half a second over ten would be ten and a half, and `false` over `true` true.
const WHOLE: [&str; 11] = [
    "google.protobuf.BoolValue",
    "google.protobuf.BytesValue",
    "google.protobuf.DoubleValue",
    "google.protobuf.Duration",
    "google.protobuf.FloatValue",
    "google.protobuf.Int32Value",
    "google.protobuf.Int64Value",
    "google.protobuf.StringValue",
    "google.protobuf.Timestamp",
    "google.protobuf.UInt32Value",
    "google.protobuf.UInt64Value",
];

/// What becomes of lists that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// New elements come behind them.
    Append,
    /// New lists take their place.
    Replace,
}

/// A message, whole or in part, that is to be merged into others of its type or to stand by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch(DynamicMessage);

impl Patch {
    /// Reads a value as the message of that full name.
    ///
    /// # Errors
    /// Unknown fields and types are refused.
    pub fn read(message: &str, value: Value) -> Result<Self, JsonError> {
        let descriptor = descriptor(message)?;
        let read = DynamicMessage::deserialize(descriptor, value);
        read.map(Self).map_err(|source| JsonError::Json { message: message.to_owned(), source })
    }

    /// The message by itself.
    ///
    /// # Errors
    /// When it is no `M`.
    pub fn to_message<M: Message + Name + Default>(&self) -> Result<M, JsonError> {
        typed(&self.0)
    }

    /// The type of what is packed into a field, such as `typed_config`; `None` if nothing is.
    pub fn packed_type(&self, field: &str) -> Option<String> {
        let any: Any = self.0.get_field_by_name(field)?.as_message()?.transcode_to().ok()?;
        any.type_url.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// `target` with what is set here: values in the place of its own, messages merged, packed ones too where both are of one type,
    /// entries of maps in the place of those of their key.
    ///
    /// # Errors
    /// When this is no `M`, or a packed message is malformed.
    pub fn merged_into<M: Message + Name + Default>(&self, target: &M, lists: Lists) -> Result<M, JsonError> {
        let malformed = |source| JsonError::Bytes { message: M::full_name(), source };
        let mut merged = DynamicMessage::new(descriptor(&M::full_name())?);
        merged.transcode_from(target).map_err(malformed)?;
        merge(&mut merged, &self.0, lists)?;
        typed(&merged)
    }
}

fn typed<M: Message + Name + Default>(message: &DynamicMessage) -> Result<M, JsonError> {
    let malformed = |source| JsonError::Bytes { message: M::full_name(), source };
    let bytes = canonical::encode(message).map_err(malformed)?;
    M::decode(bytes.as_slice()).map_err(malformed)
}

fn merge(target: &mut DynamicMessage, patch: &DynamicMessage, lists: Lists) -> Result<(), JsonError> {
    let name = patch.descriptor().full_name().to_owned();
    if name == Any::full_name() {
        return merge_packed(target, patch, lists);
    }
    if WHOLE.contains(&name.as_str()) {
        *target = patch.clone();
        return Ok(());
    }
    for (field, value) in patch.fields() {
        match (target.get_field_mut(&field), value) {
            (Field::Map(old), Field::Map(new)) => old.extend(new.clone()),
            (Field::List(old), Field::List(new)) if lists == Lists::Append => old.extend(new.iter().cloned()),
            (Field::Message(old), Field::Message(new)) => merge(old, new, lists)?,
            (old, new) => *old = new.clone(),
        }
    }
    Ok(())
}

fn merge_packed(target: &mut DynamicMessage, patch: &DynamicMessage, lists: Lists) -> Result<(), JsonError> {
    let open = |message: &DynamicMessage| -> Result<(Any, Option<DynamicMessage>), JsonError> {
        let any: Any = message.transcode_to().map_err(|source| JsonError::Bytes { message: Any::full_name(), source })?;
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let content = pool().get_message_by_name(name).map(|descriptor| DynamicMessage::decode(descriptor, any.value.as_slice()));
        let content = content.transpose().map_err(|source| JsonError::Bytes { message: name.to_owned(), source })?;
        Ok((any, content))
    };
    let ((old_any, old), (_, new)) = (open(target)?, open(patch)?);
    match (old, new) {
        (Some(mut old), Some(new)) if old.descriptor() == new.descriptor() => {
            merge(&mut old, &new, lists)?;
            let any = Any { type_url: old_any.type_url, value: old.encode_to_vec() };
            target.transcode_from(&any).map_err(|source| JsonError::Bytes { message: Any::full_name(), source })
        }
        _ => {
            *target = patch.clone();
            Ok(())
        }
    }
}
