//! Ending or draining the pod's proxy by hand: for Jobs, whose pod is over only when its proxy is.

use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

use super::{Serving, Status};
use crate::agent::Order;
use crate::runtime::Peer;

/// `POST /quitquitquit`: drains, then ends the container.
pub(super) async fn quit(State(status): State<Arc<Status>>, Extension(peer): Extension<Peer>) -> Response {
    if !is_from_this_pod(&peer) {
        return forbidden();
    }
    tracing::info!("asked to quit");
    // A full queue holds the same order already.
    let _ = status.orders.try_send(Order::Quit);
    "quitting\n".into_response()
}

/// `POST /drain`: sends clients elsewhere and is not ready any more.
pub(super) async fn drain(State(status): State<Arc<Status>>, Extension(peer): Extension<Peer>) -> Response {
    if !is_from_this_pod(&peer) {
        return forbidden();
    }
    status.draining.begin();
    let Serving::Envoy(admin) = &status.serving else { return "draining\n".into_response() };
    match admin.drain_listeners().await {
        Ok(()) => "draining\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

fn is_from_this_pod(peer: &Peer) -> bool {
    peer.address.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, "only from localhost\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_pod() {
        let from = |address: &str| is_from_this_pod(&Peer { address: Some(address.parse().unwrap()), identity: None });
        assert!(from("127.0.0.1:1") && from("[::1]:1") && from("[::ffff:127.0.0.1]:1"));
        assert!(!from("10.0.0.1:1") && !from("[fd00::1]:1"));
        assert!(!is_from_this_pod(&Peer { address: None, identity: None }));
    }
}
