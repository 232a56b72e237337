//! `proxy.istio.io/config`.

use crate::config::proxy_problems;
use crate::model::ProxySettings;

/// The pod's `proxy.istio.io/config` over the mesh's: member by member, `proxyMetadata` key by key.
pub(super) fn merge(defaults: &ProxySettings, text: &str) -> Result<ProxySettings, String> {
    let own: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| format!("is not YAML: {error}"))?;
    let Some(own) = own.as_object() else {
        return if own.is_null() { Ok(defaults.clone()) } else { Err("is not a YAML map of ProxyConfig's fields".to_owned()) };
    };
    let mut merged = serde_json::to_value(defaults).map_err(|error| error.to_string())?;
    for (key, value) in own {
        match (merged.get_mut(key).and_then(|v| v.as_object_mut()), value.as_object()) {
            (Some(base), Some(over)) => base.extend(over.clone()),
            _ => merged[key.as_str()] = value.clone(),
        }
    }
    let merged: ProxySettings = serde_json::from_value(merged).map_err(|error| format!("is not a ProxyConfig: {error}"))?;
    match proxy_problems(&merged, "").first() {
        Some(problem) => Err(format!("has {}: {}", problem.path, problem.message)),
        None => Ok(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_merged_over_the_mesh_and_its_metadata_key_by_key() {
        let defaults = ProxySettings { proxy_metadata: [("A".to_owned(), "1".to_owned())].into(), ..ProxySettings::default() };
        let merged = merge(&defaults, "concurrency: 4\nproxyMetadata:\n  B: \"2\"\n").unwrap();
        assert_eq!(merged.concurrency, 4);
        assert_eq!(merged.proxy_metadata.len(), 2);
        assert!(merge(&defaults, "concurency: 4").unwrap_err().contains("concurency"));
        assert_eq!(merge(&defaults, "statusPort: 0").unwrap_err(), "has statusPort: 0 is no port");
        assert!(merge(&defaults, "drainDuration: soon").unwrap_err().starts_with("has drainDuration: \"soon\" is no duration"));
    }
}
