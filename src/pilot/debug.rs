//! The debug pages on the monitoring port, for callers on the pod's own loopback (so for whoever may forward a port to it).
//!
//! They show names, versions and configurations; of secrets, the names and the objects that ask for them.

use std::time::SystemTime;

use axum::{
    Extension, Json, Router,
    extract::{Query, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use prost_types::Any;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    connections::{Connection, Connections},
    metrics::short_name,
    serve::{nonce_text, version_text},
};
use crate::compile::{Compiled, Resource, ResourceType};
use crate::index::{SnapshotSource, service_listing};
use crate::runtime::Peer;

/// `/debug/syncz`, `/debug/connections`, `/debug/config_dump?proxyID=POD.NAMESPACE`.
pub(super) fn routes(connections: Connections) -> Router {
    Router::new()
        .route("/debug/syncz", get(syncz))
        .route("/debug/connections", get(list))
        .route("/debug/config_dump", get(config_dump))
        .layer(from_fn(loopback_only))
        .with_state(connections)
}

/// `/debug/registryz`.
pub(super) fn services(mesh: SnapshotSource) -> Router {
    let list = async move || match mesh.latest() {
        Some(snapshot) => Json(service_listing(&snapshot)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the mesh is not known yet\n").into_response(),
    };
    Router::new().route("/debug/registryz", get(list)).layer(from_fn(loopback_only))
}

#[derive(Deserialize)]
struct DumpQuery {
    #[serde(rename = "proxyID")]
    proxy_id: Option<String>,
}

async fn loopback_only(peer: Option<Extension<Peer>>, request: Request, next: Next) -> Response {
    let address = peer.and_then(|Extension(peer)| peer.address);
    if address.is_some_and(|address| address.ip().to_canonical().is_loopback()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "debug pages answer to loopback only: kubectl -n istio-system port-forward deploy/istio-pilot 15014\n")
        .into_response()
}

/// How far each proxy got, in the form that Kiali and istioctl read.
async fn syncz(State(connections): State<Connections>) -> Json<Vec<Value>> {
    Json(connections.all().iter().map(|connection| sync_of(connection)).collect())
}

fn sync_of(connection: &Connection) -> Value {
    let (claims, state) = (&connection.claims, connection.state());
    let nonces = |kind| {
        let progress = state.of(kind);
        (progress.sent.map(nonce_text).unwrap_or_default(), progress.accepted.map(nonce_text).unwrap_or_default())
    };
    let (cluster, endpoint) = (nonces(ResourceType::Cluster), nonces(ResourceType::Endpoints));
    let (listener, route) = (nonces(ResourceType::Listener), nonces(ResourceType::Route));
    json!({
        "cluster_id": claims.cluster,
        "proxy": claims.name(),
        "proxy_type": claims.role.to_string(),
        "proxy_version": claims.version,
        "istio_version": claims.version,
        "cluster_sent": cluster.0, "cluster_acked": cluster.1,
        "listener_sent": listener.0, "listener_acked": listener.1,
        "route_sent": route.0, "route_acked": route.1,
        "endpoint_sent": endpoint.0, "endpoint_acked": endpoint.1,
    })
}

/// Who is connected, from where, since when, and what they refuse.
async fn list(State(connections): State<Connections>) -> Json<Vec<Value>> {
    Json(connections.all().iter().map(|connection| connection_json(connection)).collect())
}

fn connection_json(connection: &Connection) -> Value {
    let claims = &connection.claims;
    let rejections = connection.state().rejections;
    let rejections: Vec<Value> = rejections
        .iter()
        .map(|rejection| {
            let mut value = resource_json(&rejection.resource);
            value["message"] = json!(&*rejection.message);
            value
        })
        .collect();
    json!({
        "id": connection.id,
        "proxy": claims.name(),
        "role": claims.role.to_string(),
        "identity": claims.identity.to_string(),
        "version": claims.version,
        "address": connection.address.map(|address| address.to_string()),
        "connectedAt": rfc3339(connection.since),
        "rejections": rejections,
    })
}

/// All that a proxy is configured with: names, versions, the objects that shaped each resource, and the resource itself.
async fn config_dump(State(connections): State<Connections>, Query(query): Query<DumpQuery>) -> Response {
    let Some(name) = query.proxy_id else {
        return (StatusCode::BAD_REQUEST, "name a proxy: ?proxyID=POD.NAMESPACE\n").into_response();
    };
    let Some(connection) = connections.of_proxy(&name) else {
        return (StatusCode::NOT_FOUND, format!("no proxy {name:?} is connected to this pilot: see /debug/connections\n")).into_response();
    };
    let Some(update) = connection.updates.borrow().clone() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the mesh is not known yet\n").into_response();
    };
    // Decoding megabytes would hold up the streams.
    let resources = tokio::task::spawn_blocking(move || dump(&update.compiled)).await;
    match resources {
        Ok(resources) => Json(json!({ "proxy": name, "snapshot": update.version, "resources": resources })).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn dump(compiled: &Compiled) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in ResourceType::ALL {
        for resource in compiled.resources(kind) {
            let mut value = resource_json(resource);
            // A body of this kind may be a key, and its version a hash of one.
            if kind == ResourceType::Secret {
                if let Some(fields) = value.as_object_mut() {
                    fields.remove("version");
                }
                all.push(value);
                continue;
            }
            let any = Any { type_url: kind.type_url().to_owned(), value: resource.body.to_vec() };
            value["resource"] = envoy_api::json::to_value(&any).unwrap_or_else(|error| json!({ "error": error.to_string() }));
            all.push(value);
        }
    }
    all
}

fn resource_json(resource: &Resource) -> Value {
    let sources: Vec<String> = resource.sources.iter().map(ToString::to_string).collect();
    json!({
        "type": short_name(resource.kind),
        "name": &*resource.name,
        "version": version_text(resource.hash),
        "sources": sources,
    })
}

fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use crate::index::{self, IndexConfig};
    use crate::runtime::{Readiness, Registry, Tasks};
    use crate::testing::{eventually, fake_api::FakeApi};

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
        let mesh = index::start(api.client(), IndexConfig::default(), &mut tasks, &readiness, &mut registry);
        let pages = services(mesh.clone());
        assert_eq!(ask(&pages, "127.0.0.1:5").await.0, StatusCode::SERVICE_UNAVAILABLE);
        eventually("the mesh is known", || mesh.latest().is_some()).await;
        let (status, page) = ask(&pages, "127.0.0.1:5").await;
        assert_eq!((status, &page[0]["hostname"]), (StatusCode::OK, &json!("web.shop.svc.cluster.local")));
        assert_eq!(ask(&pages, "10.0.0.9:5").await.0, StatusCode::FORBIDDEN);
    }
}
