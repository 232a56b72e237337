//! How annotations are written, each with what to write instead.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;

use crate::config::kubernetes::{self, is_dns_subdomain};
use crate::model::{InterceptionMode, ProxyStatistics};

const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];
/// The longest name of an interface.
const INTERFACE_NAME: usize = 15;
const AGENT_LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

pub(super) fn interception(text: &str) -> Result<InterceptionMode, String> {
    text.parse()
}

/// Names of network interfaces, as the kernel takes them.
pub(super) fn interfaces(text: &str) -> Result<(), String> {
    each(text, |name| {
        let known = name.len() <= INTERFACE_NAME && !name.contains(|c: char| c.is_control() || "/\"'".contains(c));
        if known { Ok(()) } else { Err(format!("has {name:?}, which is no name of an interface such as eth1")) }
    })
}

/// The name of a ConfigMap.
pub(super) fn config_map(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) { Ok(text.to_owned()) } else { Err("is not the name of a ConfigMap".to_owned()) }
}

/// What the agent will read of statistics, and expressions as Envoy understands them.
pub(super) fn statistics(annotation: &str, text: &str) -> Result<(), String> {
    ProxyStatistics::default().set(annotation, text)?;
    match ProxyStatistics::listed_expressions(annotation, text).find(|expression| regex::Regex::new(expression).is_err()) {
        Some(wrong) => Err(format!("has {wrong:?}, which is no regular expression of RE2")),
        None => Ok(()),
    }
}

/// The spellings that the reference takes.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("is no boolean: use true or false".to_owned()),
    }
}

pub(super) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "is not a whole number such as 2".to_owned())
}

pub(super) fn level(text: &str) -> Result<String, String> {
    if LEVELS.contains(&text) { Ok(text.to_owned()) } else { Err(format!("is not a log level: use one of {}", LEVELS.join(", "))) }
}

/// Levels of Envoy's parts: `name:level,…`.
pub(super) fn component_levels(text: &str) -> Result<String, String> {
    each(text, |part| match part.split_once(':') {
        Some((name, of)) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') => {
            level(of).map(|_| ()).map_err(|problem| format!("has {part:?}, where {of:?} {problem}"))
        }
        _ => Err(format!("has {part:?}, which is no part of Envoy with its level such as filter:debug")),
    })
    .map(|()| text.to_owned())
}

/// The agent's level, also as 1.4 writes it: `default:info`.
pub(super) fn agent_level(text: &str) -> Result<String, String> {
    let level = text.strip_prefix("default:").unwrap_or(text);
    let known = AGENT_LEVELS.contains(&level);
    if known { Ok(level.to_owned()) } else { Err(format!("is not a log level of the agent: use one of {}", AGENT_LEVELS.join(", "))) }
}

/// How 1.4's proxies met the control plane.
pub(super) fn control_plane_policy(text: &str) -> Result<(), String> {
    if ["NONE", "MUTUAL_TLS"].contains(&text) { Ok(()) } else { Err("is no policy: use NONE or MUTUAL_TLS".to_owned()) }
}

pub(super) fn image_type(text: &str) -> Result<String, String> {
    let known = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if known { Ok(text.to_owned()) } else { Err("is no variant of an image such as debug".to_owned()) }
}

/// An amount of a resource.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    match kubernetes::quantity(text) {
        Some(amount) if amount >= 0.0 => Ok(text.to_owned()),
        _ => Err("is not a quantity such as 100m or 128Mi".to_owned()),
    }
}

pub(super) fn ranges_or_star(text: &str) -> Result<(), String> {
    if text == "*" { Ok(()) } else { ranges(text) }
}

pub(super) fn ports_or_star(text: &str) -> Result<(), String> {
    if text == "*" { Ok(()) } else { ports(text) }
}

pub(super) fn ranges(text: &str) -> Result<(), String> {
    each(text, |range| {
        let known = range.parse::<IpNet>().is_ok() || range.parse::<std::net::IpAddr>().is_ok();
        if known { Ok(()) } else { Err(format!("has {range:?}, which is no address range such as 10.0.0.0/8")) }
    })
}

pub(super) fn ports(text: &str) -> Result<(), String> {
    each(text, |port| match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("has {port:?}, which is no port between 1 and 65535")),
    })
}

pub(super) fn each(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    text.split(',').filter(|part| !part.is_empty()).try_for_each(check)
}

pub(super) fn port_or_zero(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "is no port between 1 and 65535, nor 0 for none".to_owned())
}

pub(super) fn address(text: &str) -> Result<String, String> {
    let known = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && ports(port).is_ok() && !port.is_empty());
    if known { Ok(text.to_owned()) } else { Err("is no address such as istio-pilot.istio-system.svc:15012".to_owned()) }
}

/// A map of names to objects, as the list of Kubernetes that it stands for.
pub(super) fn named_objects(text: &str) -> Result<Vec<Value>, String> {
    let map: BTreeMap<String, serde_json::Map<String, Value>> =
        serde_saphyr::from_str(text).map_err(|_| "is not a JSON map from names of volumes to objects".to_owned())?;
    let named = map.into_iter().map(|(name, mut object)| {
        object.insert("name".to_owned(), name.into());
        Value::Object(object)
    });
    Ok(named.collect())
}
