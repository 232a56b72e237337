//! The configuration with which proxies start, changed as users want it.

use axum::Router;
use envoy_api::envoy::config::bootstrap::v3::Bootstrap;
use tonic::{Request, Response, Status};

use super::{Server, conversation::refused};
use crate::pilot::{
    hub::{BootstrapError, JoinError},
    node::{Claims, NodeError},
};
use crate::runtime::{Peer, bootstrap_routes};

/// The service as a route of a router.
pub(super) fn routes(server: Server) -> Router {
    bootstrap_routes(move |request: Request<Bootstrap>| {
        let server = server.clone();
        async move { changed(&server, request).await.map(Response::new) }
    })
}

async fn changed(server: &Server, request: Request<Bootstrap>) -> Result<Bootstrap, Status> {
    let peer = request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("the connection has no peer"))?;
    let identity = peer.identity.as_ref().ok_or_else(|| Status::unauthenticated("the client certificate states no identity"))?;
    let own = request.into_inner();
    let node = own.node.as_ref().ok_or_else(|| refused(&NodeError::Missing, server, &peer))?;
    let claims = Claims::of(node, identity).map_err(|error| refused(&error, server, &peer))?;
    let proxy = claims.name();
    let changed = server.hub.change_bootstrap(claims, own).await.map_err(|error| match error {
        BootstrapError::Join(JoinError::Node(error)) => refused(&error, server, &peer),
        error => Status::unavailable(error.to_string()),
    })?;
    for fault in &changed.faults {
        tracing::warn!(proxy, object = %fault.object, path = &*fault.path, error = fault.message, "left out of the proxy's bootstrap");
    }
    Ok(changed.bootstrap)
}
