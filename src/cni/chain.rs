//! The node's network configuration with the plugin at the end of its chain, and without it.

use serde_json::{Map, Value, json};

/// The plugin's type, which is the name of its program: the one that people's tools know.
pub(super) const PLUGIN: &str = "istio-cni";
/// Endings of what container runtimes read.
const ENDINGS: [&str; 3] = [".conf", ".conflist", ".json"];

/// Why a configuration can't be changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ChainError {
    #[error("is not JSON: {0}")]
    Json(String),
    #[error("configures a single plugin: only a list of plugins (.conflist) can take another one")]
    Single,
}

/// The file that container runtimes take: the first by name.
pub(super) fn first<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending))).min()
}

/// The configuration with the plugin as it should be; `None` if it is so already.
///
/// # Errors
/// When it is no list of plugins.
pub(super) fn chained(text: &str, socket: &str) -> Result<Option<String>, ChainError> {
    let own = json!({"type": PLUGIN, "name": PLUGIN, "socket": socket});
    let (mut whole, plugins) = read(text)?;
    let mut wanted: Vec<Value> = plugins.iter().filter(|plugin| plugin["type"] != PLUGIN).cloned().collect();
    wanted.push(own);
    if wanted == plugins {
        return Ok(None);
    }
    whole.insert("plugins".to_owned(), wanted.into());
    Ok(Some(written(whole)))
}

/// The configuration without the plugin; `None` if it has none.
///
/// # Errors
/// When it is no list of plugins.
pub(super) fn unchained(text: &str) -> Result<Option<String>, ChainError> {
    let (mut whole, plugins) = read(text)?;
    let others: Vec<Value> = plugins.iter().filter(|plugin| plugin["type"] != PLUGIN).cloned().collect();
    if others.len() == plugins.len() {
        return Ok(None);
    }
    whole.insert("plugins".to_owned(), others.into());
    Ok(Some(written(whole)))
}

fn read(text: &str) -> Result<(Map<String, Value>, Vec<Value>), ChainError> {
    let whole: Map<String, Value> = serde_json::from_str(text).map_err(|error| ChainError::Json(error.to_string()))?;
    let plugins = whole.get("plugins").and_then(Value::as_array).cloned().ok_or(ChainError::Single)?;
    Ok((whole, plugins))
}

fn written(whole: Map<String, Value>) -> String {
    let value = Value::Object(whole);
    // A map with texts for keys can always be written.
    serde_json::to_string_pretty(&value).unwrap_or_else(|_| value.to_string()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = r#"{"cniVersion": "0.4.0", "name": "net", "plugins": [{"type": "ptp"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;

    fn types(text: &str) -> Vec<String> {
        let (_, plugins) = read(text).unwrap();
        plugins.iter().map(|plugin| plugin["type"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_plugin_comes_last_and_only_once() {
        let first = chained(OTHERS, "/s").unwrap().unwrap();
        assert_eq!(types(&first), ["ptp", "portmap", PLUGIN]);
        assert!(first.contains("portMappings"), "others stay as they are");
        assert_eq!(chained(&first, "/s").unwrap(), None);
        let moved = chained(&first, "/t").unwrap().unwrap();
        assert_eq!(types(&moved), types(&first));
        assert!(moved.contains("\"/t\"") && !moved.contains("\"/s\""));
    }

    #[test]
    fn taking_it_out_gives_what_was_there() {
        let with = chained(OTHERS, "/s").unwrap().unwrap();
        let without = unchained(&with).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&without).unwrap(), serde_json::from_str::<Value>(OTHERS).unwrap());
        assert_eq!(unchained(&without).unwrap(), None);
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        assert_eq!(chained(r#"{"type": "bridge"}"#, "/s"), Err(ChainError::Single));
        assert!(matches!(chained("{", "/s"), Err(ChainError::Json(_))));
    }

    #[test]
    fn the_first_configuration_by_name_counts() {
        let names = ["readme", "20-b.conflist", ".10-a.conflist.7.new", "10-a.conflist", "10-a.conflist.bak"];
        assert_eq!(first(names.into_iter()), Some("10-a.conflist"));
        assert_eq!(first(["readme"].into_iter()), None);
    }
}
