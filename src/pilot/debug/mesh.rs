//! What pilot knows of the mesh: services, their endpoints, and the configuration that it took in.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use ferromesh_crds::catalog;
use serde_json::{Value, json};

use super::access::closed;
use crate::index::{SnapshotSource, service_listing};
use crate::model::{Endpoint, Health, ObjectRef, Snapshot};

/// `/debug/registryz`, `/debug/endpointz`, `/debug/configz`.
pub(in crate::pilot) fn mesh(mesh: SnapshotSource) -> Router {
    let page = |shown: fn(&Snapshot) -> Value| get(async move |State(mesh): State<SnapshotSource>| answer(&mesh, shown));
    let pages = Router::new()
        .route("/debug/registryz", page(service_listing))
        .route("/debug/endpointz", page(endpoints))
        .route("/debug/configz", page(configuration));
    closed(pages).with_state(mesh)
}

fn answer(mesh: &SnapshotSource, shown: fn(&Snapshot) -> Value) -> Response {
    match mesh.latest() {
        Some(snapshot) => Json(shown(&snapshot)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the mesh is not known yet\n").into_response(),
    }
}

/// The endpoints of each port of each service, sorted.
fn endpoints(snapshot: &Snapshot) -> Value {
    let mut ports = Vec::new();
    for service in snapshot.services.values() {
        let known = snapshot.endpoints.get(&service.key).map_or(&[][..], |endpoints| endpoints);
        for port in &service.ports {
            let own: Vec<Value> = known.iter().filter(|endpoint| endpoint.service_port == port.name).map(endpoint).collect();
            ports.push(json!({"svc": format!("{}:{}", service.key.host, port.name), "namespace": *service.key.namespace, "ep": own}));
        }
    }
    Value::Array(ports)
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let health = match endpoint.health {
        Health::Healthy => "HEALTHY",
        Health::Draining => "DRAINING",
        Health::Unhealthy => "UNHEALTHY",
    };
    json!({
        "address": *endpoint.address,
        "port": endpoint.port,
        "health": health,
        "labels": *endpoint.labels,
        "workload": endpoint.workload.as_ref().map(|workload| format!("{}.{}", workload.name, workload.namespace)),
        "serviceAccount": endpoint.identity.as_ref().map(ToString::to_string),
        "tlsMode": if endpoint.mtls { "istio" } else { "disabled" },
        "locality": *endpoint.locality,
        "weight": endpoint.weight,
    })
}

/// The objects that pilot understood, by name: what became of an object that is not here is in its status.
fn configuration(snapshot: &Snapshot) -> Value {
    let objects = snapshot.config.keys().map(object);
    objects.collect()
}

fn object(object: &ObjectRef) -> Value {
    let kind = catalog::kinds().iter().find(|kind| kind.name == object.kind);
    let api_version = kind.and_then(|kind| Some(format!("{}/{}", kind.group, kind.versions.first()?)));
    json!({"apiVersion": api_version, "kind": object.kind, "metadata": {"name": *object.name, "namespace": *object.namespace}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use crate::index::{self, IndexConfig};
    use crate::runtime::{Peer, Readiness, Registry, Tasks};
    use crate::testing::{eventually, fake_api::FakeApi, mesh::bookinfo};

    async fn ask(pages: &Router, address: &str) -> (StatusCode, Value) {
        let mut request = http::Request::get("/debug/registryz").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer { address: Some(address.parse().unwrap()), identity: None });
        let response = pages.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn the_services_of_the_mesh_are_listed_for_loopback_alone() {
        let api = FakeApi::new();
        let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
        api.insert(&serde_json::from_value::<k8s_openapi::api::core::v1::Service>(service).unwrap());
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let source = index::start(api.client(), IndexConfig::default(), &mut tasks, &readiness, &mut registry);
        let pages = mesh(source.clone());
        assert_eq!(ask(&pages, "127.0.0.1:5").await.0, StatusCode::SERVICE_UNAVAILABLE);
        eventually("the mesh is known", || source.latest().is_some()).await;
        let (status, page) = ask(&pages, "127.0.0.1:5").await;
        assert_eq!((status, &page[0]["hostname"]), (StatusCode::OK, &json!("web.shop.svc.cluster.local")));
        assert_eq!(ask(&pages, "10.0.0.9:5").await.0, StatusCode::FORBIDDEN);
    }

    #[test]
    fn endpoints_are_told_by_service_and_port() {
        let page = endpoints(&bookinfo().snapshot());
        let reviews = page.as_array().unwrap().iter().find(|it| it["svc"] == "reviews.shop.svc.cluster.local:http").unwrap();
        let addresses: Vec<_> = reviews["ep"].as_array().unwrap().iter().map(|it| &it["address"]).collect();
        assert_eq!(addresses, ["10.244.3.1", "10.244.3.2", "10.244.3.3"]);
        assert_eq!((&reviews["ep"][0]["tlsMode"], &reviews["ep"][0]["workload"]), (&json!("istio"), &json!("reviews-v1.shop")));
    }

    #[test]
    fn configuration_is_told_by_name() {
        let page = configuration(&bookinfo().snapshot());
        let reviews = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "reviews", "namespace": "shop"},
        });
        assert!(page.as_array().unwrap().contains(&reviews), "{page}");
    }
}
