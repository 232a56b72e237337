//! Finds serialised `FileDescriptorProto`s in a binary.
//!
//! The protobuf compiler embeds each file's descriptor as one string literal, fields in the order of their numbers. So a
//! descriptor starts with field 1, a name that ends in `.proto`, and goes on for as long as top-level fields of rising
//! number can be read. A file can be there twice: one protobuf runtime's copy gives each field's JSON name, the other's
//! leaves it to be derived.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};

/// A descriptor as it stands in the binary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Descriptor<'a> {
    /// The bytes, which hold options that the decoded form would drop.
    pub(crate) raw: &'a [u8],
    /// The same, decoded.
    pub(crate) file: FileDescriptorProto,
}

/// Why a binary's descriptors can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// Not Envoy, or an Envoy that keeps its descriptors in some other form.
    #[error("the binary holds no protobuf descriptor")]
    None,
    /// One name, two contents: which one Envoy uses can't be told.
    #[error("the binary holds two different descriptors of {0}")]
    Conflict(String),
}

const NAME: u32 = 1;
const PACKAGE: u32 = 2;
const SOURCE_CODE_INFO: u32 = 9;
const SYNTAX: u32 = 12;
const EDITION: u32 = 14;
const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;
const NAME_TAG: u8 = (NAME << 3 | LENGTH_DELIMITED) as u8;

/// All descriptors in `binary`, by file name.
pub(crate) fn descriptors(binary: &[u8]) -> Result<BTreeMap<String, Descriptor<'_>>, ScanError> {
    let mut found: BTreeMap<String, Descriptor<'_>> = BTreeMap::new();
    let mut at = 0;
    while let Some(next) = binary[at..].iter().position(|byte| *byte == NAME_TAG) {
        let start = at + next;
        at = start + 1;
        let Some(descriptor) = descriptor(&binary[start..]) else {
            continue;
        };
        at = start + descriptor.raw.len();
        let name = descriptor.file.name().to_owned();
        match found.get(&name) {
            Some(other) if without_json_names(&other.file) != without_json_names(&descriptor.file) => {
                return Err(ScanError::Conflict(name));
            }
            // The longer copy is the one with the JSON names.
            Some(other) if other.raw.len() >= descriptor.raw.len() => {}
            _ => _ = found.insert(name, descriptor),
        }
    }
    if found.is_empty() { Err(ScanError::None) } else { Ok(found) }
}

/// The descriptor that `bytes` starts with.
fn descriptor(bytes: &[u8]) -> Option<Descriptor<'_>> {
    let mut rest = bytes;
    let name = field(&mut rest)?.text?;
    if !name.ends_with(b".proto") || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut last = NAME;
    let mut end = rest;
    while let Some(field) = field(&mut rest) {
        let once = matches!(field.number, NAME | PACKAGE | SYNTAX | EDITION);
        let known = field.number <= SYNTAX && field.number != SOURCE_CODE_INFO || field.number == EDITION;
        let shaped = field.text.is_some() != matches!(field.number, 10 | 11 | EDITION);
        if !known || !shaped || field.number < last || once && field.number == last {
            break;
        }
        last = field.number;
        end = rest;
    }
    let raw = &bytes[..bytes.len() - end.len()];
    let file = FileDescriptorProto::decode(raw).ok()?;
    // A bare name is a reference to a file (a table of names, an import), not a file.
    let holds_something = file.package.is_some() || file.syntax.is_some() || !file.message_type.is_empty();
    holds_something.then_some(Descriptor { raw, file })
}

/// What two copies of a file have in common.
fn without_json_names(file: &FileDescriptorProto) -> FileDescriptorProto {
    fn clear(message: &mut DescriptorProto) {
        for field in message.field.iter_mut().chain(&mut message.extension) {
            field.json_name = None;
        }
        message.nested_type.iter_mut().for_each(clear);
    }
    let mut file = file.clone();
    file.extension.iter_mut().for_each(|field| field.json_name = None);
    file.message_type.iter_mut().for_each(clear);
    file
}

/// A top-level field: its number, and its content when that has a length.
struct Field<'a> {
    number: u32,
    text: Option<&'a [u8]>,
}

/// Takes the field that `rest` starts with; `rest` is only to be trusted afterwards if there was one.
fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = u32::try_from(varint(rest)?).ok()?;
    let number = tag >> 3;
    match tag & 7 {
        VARINT => varint(rest).map(|_| Field { number, text: None }),
        LENGTH_DELIMITED => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Field { number, text: Some(text) })
        }
        _ => None,
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(rest).ok()
}

#[cfg(test)]
mod tests {
    use prost_types::FieldDescriptorProto;

    use super::*;

    fn file(name: &str, package: &str) -> Vec<u8> {
        FileDescriptorProto {
            name: Some(name.into()),
            package: Some(package.into()),
            dependency: vec!["google/protobuf/any.proto".into()],
            syntax: Some("proto3".into()),
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn files_are_found_between_other_bytes_and_side_by_side() {
        let (a, b) = (file("a/a.proto", "a"), file("b/b.proto", "b"));
        let binary = [b"\x7fELF\n\x09".as_slice(), &a, &b, b"\0\0", &a, b"\x0a\x07z.proto\0"].concat();
        let found = descriptors(&binary).expect("descriptors");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a/a.proto", "b/b.proto"]);
        assert_eq!((found["a/a.proto"].raw, found["b/b.proto"].raw), (&a[..], &b[..]));
    }

    #[test]
    fn of_two_copies_the_one_with_json_names_is_taken() {
        let copy = |json_name: Option<&str>| {
            let field = FieldDescriptorProto { name: Some("a_b".into()), json_name: json_name.map(Into::into), ..Default::default() };
            let message = DescriptorProto { field: vec![field], ..Default::default() };
            let name = Some("a/a.proto".into());
            FileDescriptorProto { name, package: Some("a".into()), message_type: vec![message], ..Default::default() }.encode_to_vec()
        };
        let (with, without) = (copy(Some("aB")), copy(None));
        for binary in [[&with[..], &without].concat(), [&without[..], &with].concat()] {
            assert_eq!(descriptors(&binary).expect("descriptors")["a/a.proto"].raw, with);
        }
    }

    #[test]
    fn two_contents_under_one_name_are_refused() {
        let binary = [file("a/a.proto", "a"), vec![0], file("a/a.proto", "b")].concat();
        assert!(matches!(descriptors(&binary), Err(ScanError::Conflict(name)) if name == "a/a.proto"));
    }

    #[test]
    fn binary_without_descriptors_is_refused() {
        assert!(matches!(descriptors(b"\x7fELF\x0a\x03abc"), Err(ScanError::None)));
    }
}
