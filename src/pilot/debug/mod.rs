//! The debug pages on the monitoring port, for callers that [`access`] lets in.
//!
//! They show names, versions and configurations; of secrets, the names and the objects that ask for them.

mod access;
mod dump;
mod mesh;

use std::time::SystemTime;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    connections::{Connection, Connections},
    metrics::short_name,
    serve::{nonce_text, version_text},
};
use crate::compile::ResourceType;

pub use access::DebugAccess;
pub(super) use mesh::mesh;

/// `/debug/syncz`, `/debug/connections`, `/debug/adsz`, and for one proxy `/debug/config_dump?proxyID=POD.NAMESPACE`, `/debug/edsz?…`.
pub(super) fn routes(connections: Connections) -> Router {
    let pages = Router::new()
        .route("/debug/syncz", get(syncz))
        .route("/debug/connections", get(list))
        .route("/debug/adsz", get(clients))
        .route("/debug/edsz", get(edsz))
        .route("/debug/config_dump", get(config_dump));
    access::closed(pages).with_state(connections)
}

#[derive(Deserialize)]
struct DumpQuery {
    #[serde(rename = "proxyID")]
    proxy_id: Option<String>,
}

/// How far each proxy got, in the form that Kiali and istioctl read.
async fn syncz(State(connections): State<Connections>) -> Json<Vec<Value>> {
    Json(connections.all().iter().map(|connection| sync_of(connection)).collect())
}

fn sync_of(connection: &Connection) -> Value {
    let (claims, state) = (&connection.claims, connection.state());
    let nonces = |kind| {
        let mut progress = state.of(kind);
        // The page has one column for routes: of tables and hosts it shows who is behind.
        let hosts = state.of(ResourceType::VirtualHost);
        if kind == ResourceType::Route && hosts.sent != hosts.accepted {
            progress = hosts;
        }
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

/// The same as the reference counts it.
async fn clients(State(connections): State<Connections>) -> Json<Value> {
    let clients: Vec<Value> = connections.all().iter().map(|connection| connection_json(connection)).collect();
    Json(json!({"totalClients": clients.len(), "clients": clients}))
}

fn connection_json(connection: &Connection) -> Value {
    let claims = &connection.claims;
    let rejections = connection.state().rejections;
    let rejections: Vec<Value> = rejections
        .iter()
        .map(|rejection| {
            let mut value = dump::of(&rejection.resource);
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

/// All that a proxy is configured with.
async fn config_dump(State(connections): State<Connections>, Query(query): Query<DumpQuery>) -> Response {
    dumped(&connections, query, &ResourceType::ALL).await
}

/// The endpoints that a proxy is told.
async fn edsz(State(connections): State<Connections>, Query(query): Query<DumpQuery>) -> Response {
    dumped(&connections, query, &[ResourceType::Endpoints]).await
}

async fn dumped(connections: &Connections, query: DumpQuery, kinds: &'static [ResourceType]) -> Response {
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
    let parts = tokio::task::spawn_blocking(move || {
        let compiled = &update.compiled;
        json!({"proxy": name, "snapshot": update.version, "configs": dump::configs(compiled, kinds), "resources": dump::resources(compiled)})
    });
    match parts.await {
        Ok(page) => Json(page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}
