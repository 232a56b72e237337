//! An object that is written again, from its API type, means what it meant.

use std::{fs, path::Path};

use ferromesh_crds::networking::{EnvoyFilter, ProxyConfig, ServiceEntry, Sidecar, WorkloadEntry, WorkloadGroup};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Invalid, ParseContext, Parsed, parse_object};
use crate::model::ConfigObject;

fn parse(object: &Value) -> Result<Parsed<ConfigObject>, Invalid> {
    let (group, _) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    parse_object(group, object["kind"].as_str().unwrap(), object, &ParseContext::default())
}

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

#[test]
fn what_is_written_again_means_the_same() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/accept")).unwrap() {
        let path = entry.unwrap().path();
        let object: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let again = match object["kind"].as_str().unwrap() {
            "EnvoyFilter" => through::<EnvoyFilter>,
            "ProxyConfig" => through::<ProxyConfig>,
            "ServiceEntry" => through::<ServiceEntry>,
            "Sidecar" => through::<Sidecar>,
            "WorkloadEntry" => through::<WorkloadEntry>,
            "WorkloadGroup" => through::<WorkloadGroup>,
            _ => continue,
        };
        let written = again(&object);
        assert_eq!(again(&written), written, "{}", path.display());
        assert_eq!(parse(&written).unwrap(), parse(&object).unwrap(), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 36, "only {seen} objects");
}
