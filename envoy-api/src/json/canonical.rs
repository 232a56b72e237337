//! One encoding for one value.
//!
//! Reflection keeps maps in an order that differs from run to run, and writes it into packed messages, whose bytes
//! nobody sorts afterwards. Here maps go out by key, at every depth.

use std::collections::HashMap;

use prost::encoding::{WireType, encode_key, encode_varint};
use prost::{DecodeError, Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use prost_types::Any;

/// `message` in bytes, maps by key. Only messages that were made from text come here: they hold no unknown fields.
pub(super) fn encode(message: &DynamicMessage) -> Result<Vec<u8>, DecodeError> {
    if message.descriptor().full_name() == Any::full_name() {
        return encode_packed(message);
    }
    let mut bytes = Vec::new();
    for (field, value) in message.fields() {
        match value {
            Value::Map(map) => encode_map(&field, map, &mut bytes)?,
            Value::Message(content) => encode_nested(&field, content, &mut bytes)?,
            Value::List(list) if matches!(field.kind(), Kind::Message(_)) => {
                for content in list.iter().filter_map(Value::as_message) {
                    encode_nested(&field, content, &mut bytes)?;
                }
            }
            _ => {
                let mut alone = DynamicMessage::new(message.descriptor());
                alone.set_field(&field, value.clone());
                bytes.extend(alone.encode_to_vec());
            }
        }
    }
    Ok(bytes)
}

fn encode_packed(message: &DynamicMessage) -> Result<Vec<u8>, DecodeError> {
    let mut any: Any = message.transcode_to()?;
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    if let Some(descriptor) = message.descriptor().parent_pool().get_message_by_name(name) {
        any.value = encode(&DynamicMessage::decode(descriptor, any.value.as_slice())?)?;
    }
    Ok(any.encode_to_vec())
}

fn encode_map(field: &FieldDescriptor, map: &HashMap<MapKey, Value>, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    let Kind::Message(entry) = field.kind() else { return Ok(()) };
    let mut items: Vec<(&MapKey, &Value)> = map.iter().collect();
    items.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in items {
        let mut item = DynamicMessage::new(entry.clone());
        item.set_field(&entry.map_entry_key_field(), key.clone().into());
        // As in the generated code, so that both give the same bytes: an empty value is not written.
        if value.as_message().is_none_or(|content| content.encoded_len() > 0) {
            item.set_field(&entry.map_entry_value_field(), value.clone());
        }
        encode_nested(field, &item, bytes)?;
    }
    Ok(())
}

fn encode_nested(field: &FieldDescriptor, content: &DynamicMessage, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    let content = encode(content)?;
    encode_key(field.number(), WireType::LengthDelimited, bytes);
    encode_varint(content.len() as u64, bytes);
    bytes.extend(content);
    Ok(())
}
