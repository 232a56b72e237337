//! What every API struct shares: its derives, camelCase names, and that an absent field stays absent.

use std::collections::BTreeMap;

/// Declares structs of the API: JSON names in camelCase, every field optional when read (the schema says
/// what is required, so that the complaint can name it), and empty fields left out when written.
macro_rules! api_objects {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* pub $field:ident : $type:ty ),* $(,)?
        }
    )+) => {$(
        #[derive(Clone, Debug, Default, PartialEq, ::serde::Deserialize, ::serde::Serialize, ::schemars::JsonSchema)]
        $(#[$meta])*
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "crate::object::Absent::is_absent")]
                pub $field: $type,
            )*
        }
    )+};
}

pub(crate) use api_objects;

/// Whether a field has nothing to write.
pub(crate) trait Absent {
    /// True for `None` and for empty strings, lists and maps.
    fn is_absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}
