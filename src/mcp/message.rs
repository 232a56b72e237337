//! `istio.mcp.v1alpha1.Resource`: an object on its way.
//!
//! The messages are written out by hand: two of them do not justify a build step. The numbers of their fields are those of the published
//! API (istio.io/api, `mcp/v1alpha1/resource.proto` and `metadata.proto`), and fixed for ever.

use std::collections::BTreeMap;

use prost_types::{Any, Timestamp};

/// `istio.mcp.v1alpha1.Resource`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// Which object it is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    /// What the object says.
    #[prost(message, optional, tag = "2")]
    pub body: Option<Any>,
}

/// `istio.mcp.v1alpha1.Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// `NAMESPACE/NAME`; the name alone where there are no namespaces.
    #[prost(string, tag = "1")]
    pub name: String,
    /// When the object was created.
    #[prost(message, optional, tag = "2")]
    pub create_time: Option<Timestamp>,
    /// Differs between any two forms of the object.
    #[prost(string, tag = "3")]
    pub version: String,
    /// The object's labels.
    #[prost(btree_map = "string, string", tag = "4")]
    pub labels: BTreeMap<String, String>,
    /// The object's annotations.
    #[prost(btree_map = "string, string", tag = "5")]
    pub annotations: BTreeMap<String, String>,
}

impl prost::Name for Resource {
    const NAME: &'static str = "Resource";
    const PACKAGE: &'static str = "istio.mcp.v1alpha1";

    fn type_url() -> String {
        format!("type.googleapis.com/{}", Self::full_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::{Message, Name};

    #[test]
    fn fields_have_the_numbers_of_the_published_api() {
        let map = || BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let create_time = Some(Timestamp { seconds: 5, nanos: 0 });
        let metadata = Metadata { name: "n".to_owned(), create_time, version: "1".to_owned(), labels: map(), annotations: map() };
        let body = Some(Any { type_url: "t".to_owned(), value: vec![9] });
        let entry = [6, 0x0a, 1, b'k', 0x12, 1, b'v'];
        let metadata_bytes = [&[0x0a, 1, b'n', 0x12, 2, 0x08, 5, 0x1a, 1, b'1', 0x22][..], &entry, &[0x2a], &entry].concat();
        let expected = [&[0x0a, u8::try_from(metadata_bytes.len()).unwrap()][..], &metadata_bytes, &[0x12, 6, 0x0a, 1, b't', 0x12, 1, 9]];
        assert_eq!(Resource { metadata: Some(metadata), body }.encode_to_vec(), expected.concat());
        assert_eq!(Resource::type_url(), "type.googleapis.com/istio.mcp.v1alpha1.Resource");
    }
}
