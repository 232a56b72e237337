//! A port of a pod on this machine.

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::pin,
};
use tokio::{io::copy_bidirectional, net::TcpStream, time::timeout};

use crate::cli::{
    exit::{Exit, Failure},
    proxy::{Forwarded, PodName, Pods, REASON},
};

/// Connections that are carried at once; browsers open a few for each page. What comes on top of them waits to be accepted.
const MOST: usize = 256;

/// Listens on this port, or if none is named on the usual one, or on any that is free.
///
/// # Errors
/// When the port is taken, or the address is not this machine's.
pub(super) fn listen(address: IpAddr, port: Option<u16>, usual: u16) -> Result<TcpListener, Failure> {
    let bound = match port {
        Some(port) => TcpListener::bind((address, port)),
        None => TcpListener::bind((address, usual)).or_else(|_| TcpListener::bind((address, 0))),
    };
    let at = SocketAddr::new(address, port.unwrap_or(usual));
    bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(Exit::Failed, format_args!("{at} is taken: name another port with --port")),
        _ => Failure::new(Exit::Failed, format_args!("can't listen on {at}: {error}")),
    })
}

/// Carries every connection to the pod's port, until `end`. What goes wrong with one of them is noted, and ends that one alone.
///
/// # Errors
/// When no connection can be accepted any more.
pub(super) async fn forward(
    listener: TcpListener,
    pods: &Pods,
    pod: &PodName,
    port: u16,
    end: impl Future<Output = ()>,
    mut note: impl FnMut(String),
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format_args!("can't accept connections: {error}"));
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let mut end = pin!(end);
    let mut carried = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            accepted = listener.accept(), if carried.len() < MOST => {
                let (connection, _) = accepted.map_err(failed)?;
                carried.push(carry(connection, pods, pod, port));
            }
            Some(done) = carried.next() => if let Err(told) = done {
                note(told.message);
            },
        }
    }
}

/// Carries one connection.
async fn carry(mut connection: TcpStream, pods: &Pods, pod: &PodName, port: u16) -> Result<(), Failure> {
    let Forwarded { mut stream, refused, forwarder } = pods.connect(pod, port).await?;
    let mut refused = refused.fuse();
    let told = tokio::select! {
        Some(told) = &mut refused => Some(told),
        // How it ends is the browser's business, which closes what it needs no longer; unless the kubelet says more.
        _ = copy_bidirectional(&mut connection, &mut stream) => timeout(REASON, refused).await.ok().flatten(),
    };
    forwarder.abort();
    told.map_or(Ok(()), Err)
}
