//! WebAssembly modules: where they come from and what runs them.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::extensions::wasm::{EnvValueSource, FailStrategy, PluginType, PullPolicy as Pull, VmConfig};
use serde_json::{Map, Value};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::config::url::Url;
use crate::model::{PullPolicy, WasmFailure, WasmLocation, WasmModule};

/// Characters of a SHA-256 sum in hexadecimal.
const SUM: usize = 64;
/// The most variables, the longest name and the longest value of one.
const MOST_VARIABLES: usize = 256;
const LONGEST_VARIABLE: usize = 256;
const LONGEST_VALUE: usize = 2048;
/// The longest names of a Secret and of a plugin, and the longest URL.
const LONGEST_SECRET: usize = 253;
const LONGEST_PLUGIN: usize = 256;
const LONGEST_URL: usize = 8192;

/// A module as WasmPlugin and TrafficExtension alike have it.
pub(super) struct Module<'a> {
    pub(super) url: &'a str,
    pub(super) sha256: Option<&'a str>,
    pub(super) pull: Option<Pull>,
    pub(super) pull_secret: Option<&'a str>,
    pub(super) verification_key: Option<&'a str>,
    pub(super) plugin: Option<&'a str>,
    pub(super) config: Option<&'a Map<String, Value>>,
    pub(super) failure: Option<FailStrategy>,
    pub(super) machine: Option<&'a VmConfig>,
    pub(super) kind: Option<PluginType>,
}

/// Reads a module.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, module: &Module<'_>) -> WasmModule {
    let location = location(reading, &at.field("url"), module.url);
    warn_of_unfetched(reading, at, module, &location);
    reading.not_honoured(at, "verificationKey", module.verification_key.is_some_and(|key| !key.is_empty()));
    let latest = matches!(&location, WasmLocation::Image(image) if image.ends_with(":latest"));
    WasmModule {
        sha256: sum(reading, &at.field("sha256"), module.sha256),
        pull: match module.pull {
            Some(Pull::Always) => PullPolicy::Always,
            Some(Pull::IfNotPresent) => PullPolicy::IfNotPresent,
            None | Some(Pull::Unspecified) if latest => PullPolicy::Always,
            None | Some(Pull::Unspecified) => PullPolicy::IfNotPresent,
        },
        pull_secret: name(reading, &at.field("imagePullSecret"), module.pull_secret, LONGEST_SECRET),
        plugin: name(reading, &at.field("pluginName"), module.plugin, LONGEST_PLUGIN),
        config: module.config.cloned(),
        failure: match module.failure {
            None | Some(FailStrategy::FailClose) => WasmFailure::Close,
            Some(FailStrategy::FailOpen) => WasmFailure::Open,
            Some(FailStrategy::FailReload) => WasmFailure::Reload,
        },
        environment: environment(reading, &at.field("vmConfig"), module.machine),
        network: module.kind == Some(PluginType::Network),
        location,
    }
}

/// Warns of modules that proxies can't fetch, and of what becomes of their traffic.
fn warn_of_unfetched(reading: &mut Reading<'_>, at: &At<'_>, module: &Module<'_>, location: &WasmLocation) {
    let open = module.failure == Some(FailStrategy::FailOpen);
    let consequence = if open { "traffic passes without it" } else { "all traffic that it is for is refused (failStrategy)" };
    match location {
        WasmLocation::Image(_) => {
            let message = format!("images are not fetched, and {consequence}: serve the module by http or https, or mount it (file://)");
            reading.warn(&at.field("url"), Code::NotHonoured, message);
        }
        WasmLocation::Remote(_) if module.sha256.is_none_or(str::is_empty) => {
            let message = format!("modules are fetched by their sum alone: without it {consequence}");
            reading.warn(&at.field("sha256"), Code::NotHonoured, message);
        }
        WasmLocation::Remote(_) | WasmLocation::File(_) => {}
    }
}

fn location(reading: &mut Reading<'_>, at: &At<'_>, text: &str) -> WasmLocation {
    let image = WasmLocation::Image(text.into());
    if text.is_empty() {
        reading.required(at);
        return image;
    }
    if text.chars().count() > LONGEST_URL {
        reading.error(at, Code::WrongSize, format!("has {} characters, {LONGEST_URL} at most are allowed", text.chars().count()));
        return image;
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(defect) => {
            reading.error(at, Code::BadAddress, format!("{} {defect}", quoted(text)));
            return image;
        }
    };
    match url.scheme.map(str::to_ascii_lowercase).as_deref() {
        None => image,
        Some("oci") => WasmLocation::Image(text["oci://".len()..].into()),
        Some("http" | "https") => WasmLocation::Remote(text.into()),
        Some("file") => WasmLocation::File(url.path.into()),
        Some(scheme) => {
            let message = format!("{} has the scheme {scheme}: it must be oci, http, https, file, or none", quoted(text));
            reading.error(at, Code::BadAddress, message);
            image
        }
    }
}

fn sum(reading: &mut Reading<'_>, at: &At<'_>, sum: Option<&str>) -> Option<Arc<str>> {
    let sum = sum.filter(|sum| !sum.is_empty())?;
    if sum.len() != SUM || !sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let message = format!("{} is no SHA-256 sum: it has {SUM} digits, 0 to 9 and a to f", quoted(sum));
        reading.error(at, Code::NotAllowed, message);
    }
    Some(sum.into())
}

/// A name that may be absent, but not empty or too long.
fn name(reading: &mut Reading<'_>, at: &At<'_>, name: Option<&str>, longest: usize) -> Option<Arc<str>> {
    let name = name?;
    match name.chars().count() {
        0 => reading.error(at, Code::Required, "must not be empty"),
        length if length > longest => reading.error(at, Code::WrongSize, format!("has {length} characters, {longest} at most are allowed")),
        _ => {}
    }
    Some(name.into())
}

fn environment(reading: &mut Reading<'_>, at: &At<'_>, machine: Option<&VmConfig>) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
    let list = at.field("env");
    let variables = machine.map_or(&[][..], |machine| machine.env.as_slice());
    if variables.len() > MOST_VARIABLES {
        reading.error(&list, Code::WrongSize, format!("has {} entries, {MOST_VARIABLES} at most are allowed", variables.len()));
    }
    let read = list.each(variables, |at, one| {
        let variable = name(reading, &at.field("name"), Some(one.name.as_str()), LONGEST_VARIABLE).unwrap_or_default();
        let value = one.value.as_deref();
        if value.is_some_and(|value| value.chars().count() > LONGEST_VALUE) {
            reading.error(&at.field("value"), Code::WrongSize, format!("{LONGEST_VALUE} characters at most are allowed"));
        }
        if one.value_from == Some(EnvValueSource::Host) {
            if value.is_some() {
                reading.error(&at.field("value"), Code::Conflict, "goes with valueFrom INLINE only");
            }
            return (variable, None);
        }
        (variable, Some(value.unwrap_or_default().into()))
    });
    let names = variables.iter().enumerate().filter(|(_, one)| !one.name.is_empty());
    let names: Vec<_> = names.map(|(index, one)| (list.index(index), one.name.as_str())).collect();
    reading.distinct(names.into_iter(), |name| format!("{} is set twice", quoted(name)));
    read.into_iter().collect()
}
