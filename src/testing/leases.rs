//! Leases that the operator makes.

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

use super::fake_api::FakeApi;

/// Makes the lease of a part in the mesh's namespace, as the operator does: nobody's yet.
pub(crate) fn make_lease(api: &FakeApi, name: &str) {
    let lease = json!({"metadata": {"name": name, "namespace": "istio-system"}});
    api.insert(&serde_json::from_value::<Lease>(lease).unwrap());
}
