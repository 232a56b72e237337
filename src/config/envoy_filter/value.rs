//! `patch.value`: an object of Envoy's API. Whether its fields exist is known where Envoy's types are; here its size is bounded, and what
//! no Envoy takes any more is refused.

use ferromesh_crds::networking::envoy_filter::{ApplyTo, PatchOperation};
use serde_json::Value;

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;

/// The greatest value, in bytes of JSON. Every proxy that it is for gets a copy.
const LARGEST: usize = 256 << 10;

pub(super) fn check(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, operation: PatchOperation, value: &Value) {
    let size = serde_json::to_vec(value).map_or(0, |text| text.len());
    if size > LARGEST {
        reading.error(at, Code::WrongSize, format!("the value has {size} bytes of JSON, {LARGEST} at most are allowed"));
        return;
    }
    let Some(fields) = value.as_object() else {
        return reading.error(at, Code::WrongType, "must be an object of Envoy's API");
    };
    if fields.get("name").is_some_and(|name| !name.is_string()) && apply_to != ApplyTo::Bootstrap {
        reading.error(&at.field("name"), Code::WrongType, "must be of type string");
    }
    check_types(reading, at, value);
    let filters = matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter);
    let whole = !matches!(operation, PatchOperation::Merge | PatchOperation::MergeAndReplaceList | PatchOperation::Remove);
    let configured = ["typed_config", "typedConfig", "config_discovery", "configDiscovery"].iter().any(|field| fields.contains_key(*field));
    if filters && whole && !configured {
        match fields.contains_key("config") {
            true => reading.deprecated(at, "config", true, "typed_config, with the type in \"@type\""),
            false => reading.warn(at, Code::Deprecated, "a filter is known by its type, not its name: add typed_config with \"@type\""),
        }
    }
}

/// Types of Envoy's API version 2 are gone.
fn check_types(reading: &mut Reading<'_>, at: &At<'_>, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let here = at.field(name);
                match value {
                    Value::String(url) if name == "@type" => check_type(reading, &here, url),
                    _ if name == "@type" => reading.error(&here, Code::WrongType, "must be of type string"),
                    value => check_types(reading, &here, value),
                }
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| check_types(reading, &at.index(index), item)),
        _ => {}
    }
}

fn check_type(reading: &mut Reading<'_>, at: &At<'_>, url: &str) {
    let name = url.rsplit('/').next().unwrap_or(url);
    let version_2 = name.starts_with("envoy.") && name.split('.').any(|part| part == "v2" || part.starts_with("v2alpha"));
    if name.is_empty() {
        reading.error(at, Code::BadName, format!("{} names no type, as type.googleapis.com/envoy.….v3.… does", quoted(url)));
    } else if version_2 {
        reading.error(
            at,
            Code::NotAllowed,
            format!("{} is of version 2 of Envoy's API, which is gone: use the type of version 3", quoted(url)),
        );
    }
}
