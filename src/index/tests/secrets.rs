//! Secrets are watched one by one, and only while somebody needs them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::watches::Running;
use crate::model::{Change, Changes, SecretKey};
use crate::runtime::encode_metrics;
use crate::testing::{TestCa, eventually, fake_api::FakeApi};

fn secret(name: &str, ca: &TestCa) -> Secret {
    let data = json!({"ca.crt": k8s_openapi::ByteString(ca.pem().into_bytes())});
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "edge"}, "data": data})).unwrap()
}

fn changed(name: &str) -> Changes {
    [Change::Secret(SecretKey::new("edge", name))].into()
}

#[tokio::test]
async fn a_needed_secret_is_followed_from_its_absence_to_its_end_and_no_other_is_read() {
    let (api, first, second) = (FakeApi::new(), TestCa::new("first"), TestCa::new("second"));
    api.insert(&secret("other", &first));
    let asked: Arc<Mutex<BTreeSet<Option<String>>>> = Arc::default();
    let noted = asked.clone();
    api.answer(move |call| {
        if call.target.plural == "secrets" {
            noted.lock().unwrap().insert(call.query.get("fieldSelector").cloned());
        }
        None
    });
    let mut running = Running::ready(&api).await;
    let needed = running.source.needed_secrets();
    let key = SecretKey::new("edge", "web");
    needed.are(&BTreeSet::from([key.clone()]));
    let roots = async |running: &mut Running| {
        let (snapshot, changes) = running.next().await;
        assert_eq!(changes, changed("web"));
        assert!(snapshot.secrets.get(&SecretKey::new("edge", "other")).is_none());
        snapshot.secrets.get(&key).and_then(|it| it.authorities.clone()).map(|it| it.roots.to_vec())
    };
    for ca in [&first, &second] {
        api.insert(&secret("web", ca));
        assert_eq!(roots(&mut running).await, Some(ca.pem().into_bytes()));
    }
    api.delete::<Secret>(Some("edge"), "web");
    assert_eq!(roots(&mut running).await, None);
    api.insert(&secret("web", &first));
    assert!(roots(&mut running).await.is_some());
    needed.are(&BTreeSet::new());
    assert_eq!(roots(&mut running).await, None, "forgotten, for nobody needs it");
    let asked: BTreeSet<Option<String>> = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(asked, [Some("metadata.name=web".to_owned())].into());
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_keeps_nobody_from_another() {
    let (api, ca) = (FakeApi::new(), TestCa::new("root"));
    let denied = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "secrets \"denied\" is forbidden",
    });
    let selects = |query: Option<&String>| query.is_some_and(|fields| fields == "metadata.name=denied");
    api.answer(move |call| selects(call.query.get("fieldSelector")).then(|| (403, denied.clone())));
    let mut running = Running::ready(&api).await;
    api.insert(&secret("web", &ca));
    let needed = ["denied", "web"].map(|name| SecretKey::new("edge", name));
    running.source.needed_secrets().are(&needed.into());
    assert_eq!(running.changes().await, changed("web"));
    eventually("the other is tried again", || encode_metrics(&running.registry).contains("index_watch_failures_total{kind=\"Secret\"} 2"))
        .await;
}
