//! Lists that are read page by page: neither the API server nor the reader holds all of a large cluster's objects at once.

use kube::{Api, api::ListParams};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// How many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// What the API server answers about a page of a list that it no longer has.
const EXPIRED: u16 = 410;

/// All objects of a list.
///
/// # Errors
/// When a page of them can't be read.
pub async fn list_all<K: Clone + DeserializeOwned + Debug>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, kube::Error> {
    list_each(api, params, Some).await
}

/// What `keep` makes of each object of a list. Of the objects themselves there is one page at a time.
///
/// # Errors
/// When a page of them can't be read.
pub async fn list_each<K, T>(api: &Api<K>, params: &ListParams, keep: impl Fn(K) -> Option<T>) -> Result<Vec<T>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut kept = Vec::new();
    let mut page = params.clone().limit(PAGE);
    loop {
        #[expect(clippy::disallowed_methods, reason = "this is where pages are put together")]
        let list = match api.list(&page).await {
            Ok(list) => list,
            // What was read so far is of another time than what would follow: all over again, and at once, so that it can't expire.
            Err(kube::Error::Api(status)) if status.code == EXPIRED && page.continue_token.is_some() => {
                kept.clear();
                page = params.clone();
                continue;
            }
            Err(error) => return Err(error),
        };
        kept.extend(list.items.into_iter().filter_map(&keep));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_api::FakeApi;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use serde_json::json;

    const MANY: usize = 1201;

    fn cluster() -> FakeApi {
        let api = FakeApi::new();
        for number in 0..MANY {
            let map = json!({"metadata": {"name": format!("map-{number:04}"), "namespace": "shop"}});
            api.insert::<ConfigMap>(&serde_json::from_value(map).unwrap());
        }
        api
    }

    async fn names(api: &FakeApi) -> Vec<String> {
        let maps: Api<ConfigMap> = Api::namespaced(api.client(), "shop");
        list_all(&maps, &ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
    }

    fn all() -> Vec<String> {
        (0..MANY).map(|number| format!("map-{number:04}")).collect()
    }

    #[tokio::test]
    async fn all_pages_are_read_and_none_is_larger() {
        let api = cluster();
        assert_eq!(names(&api).await, all());
        let limits: Vec<Option<String>> = api.calls().iter().map(|call| call.query.get("limit").cloned()).collect();
        assert_eq!(limits, vec![Some("500".to_owned()); 3]);
    }

    #[tokio::test]
    async fn a_list_that_expires_between_pages_is_read_anew_and_at_once() {
        let api = cluster();
        let gone =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
        api.answer(move |call| call.query.contains_key("continue").then(|| (410, gone.clone())));
        assert_eq!(names(&api).await, all());
        assert_eq!(api.calls().len(), 3);
    }
}
