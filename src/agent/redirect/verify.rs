//! Looking whether redirection works, by connections of one's own.

use nix::sys::socket::{
    getsockopt,
    sockopt::{Ip6tOriginalDst, OriginalDst},
};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    capture::{Capture, Selection},
    routes::IPV6_IS_OFF,
};
use crate::model::InterceptionMode;

/// Why redirection can't be relied upon.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The port that the proxy will listen on is taken.
    #[error("can't listen on {0} in the proxy's place")]
    Listen(SocketAddr, #[source] io::Error),
    /// A connection went elsewhere, or nowhere.
    #[error("a connection to {called} was not redirected to port {expected}: nobody has written this pod's redirect rules")]
    NotRedirected {
        /// What was called.
        called: SocketAddr,
        /// Where it should have come in.
        expected: u16,
    },
    /// It came in, and where it was meant to go is not known.
    #[error("a connection to {called} came in as one to {found}: redirection does not keep where connections were meant to go")]
    Elsewhere {
        /// What was called.
        called: SocketAddr,
        /// What is known of it.
        found: String,
    },
}

/// A port that nobody has: who is answered there was redirected.
const PROBE_PORT: u16 = 15002;
/// How long a connection within the pod may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// An address of nobody, for documentation.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOBODY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// Addresses within the pod that are not localhost.
const WITHIN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
const WITHIN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// A connection to try.
struct Probe {
    from: IpAddr,
    to: SocketAddr,
    /// Where it has to come in.
    arrives: SocketAddr,
}

/// Tries a connection of each family that the pod has. Who runs as the proxy's user calls his own pod, which has to come in as any call from
/// outside; anybody else calls somebody outside, which has to go out through the proxy.
///
/// # Errors
/// On the first that goes elsewhere.
pub async fn verify(capture: &Capture, user: u32, group: u32) -> Result<(), VerifyError> {
    if capture.mode == InterceptionMode::None {
        return Ok(());
    }
    let is_proxy = capture.users.contains(&user) || capture.groups.contains(&group);
    let has_ipv6 = fs::read_to_string(IPV6_IS_OFF).is_ok_and(|text| text.trim() == "0");
    for is_ipv6 in [false, true].into_iter().filter(|is_ipv6| has_ipv6 || !is_ipv6) {
        match Probe::new(capture, is_proxy, is_ipv6) {
            Some(probe) => probe.run().await?,
            None => tracing::info!(is_ipv6, "nothing of this family is captured that could be tried"),
        }
    }
    Ok(())
}

// === impl Probe ===

impl Probe {
    /// None where the rules capture nothing that this process could call.
    fn new(capture: &Capture, is_proxy: bool, is_ipv6: bool) -> Option<Self> {
        let localhost: IpAddr = if is_ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let outside = || match &capture.outbound_ranges {
            Selection::All => Some(if is_ipv6 { NOBODY_V6 } else { NOBODY }),
            Selection::Only(ranges) => ranges.iter().map(ipnet::IpNet::addr).find(|address| address.is_ipv6() == is_ipv6),
        };
        let to = match (is_proxy, is_ipv6) {
            (true, true) => WITHIN_V6,
            (true, false) => WITHIN,
            (false, _) => outside()?,
        };
        let port = if is_proxy { capture.inbound_port } else { capture.outbound_port };
        Some(Self { from: localhost, to: SocketAddr::new(to, PROBE_PORT), arrives: SocketAddr::new(localhost, port) })
    }

    async fn run(&self) -> Result<(), VerifyError> {
        let Self { to: called, arrives, .. } = *self;
        let listener = TcpListener::bind(arrives).await.map_err(|error| VerifyError::Listen(arrives, error))?;
        let not_redirected = VerifyError::NotRedirected { called, expected: arrives.port() };
        // What fails to connect does not come in either, and is not waited for.
        let tried = async { tokio::try_join!(self.call(), async { listener.accept().await.map(|(stream, _)| stream) }) };
        let Ok(Ok((own, accepted))) = timeout(PATIENCE, tried).await else { return Err(not_redirected) };
        // Somebody else may have called.
        if accepted.peer_addr().ok() != own.local_addr().ok() {
            return Err(not_redirected);
        }
        match meant_for(&accepted, called.is_ipv6()) {
            Ok(port) if port == called.port() => Ok(()),
            Ok(port) => Err(VerifyError::Elsewhere { called, found: format!("port {port}") }),
            Err(error) => Err(VerifyError::Elsewhere { called, found: error.to_string() }),
        }
    }

    async fn call(&self) -> io::Result<TcpStream> {
        let socket = if self.to.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
        // Within the pod another source would be that of the proxy's calls to the application.
        if [WITHIN, WITHIN_V6].contains(&self.to.ip()) {
            socket.bind(SocketAddr::new(self.from, 0))?;
        }
        socket.connect(self.to).await
    }
}

/// The port that an accepted connection was meant for before it was redirected.
fn meant_for(accepted: &TcpStream, is_ipv6: bool) -> io::Result<u16> {
    let port = if is_ipv6 { getsockopt(accepted, Ip6tOriginalDst)?.sin6_port } else { getsockopt(accepted, OriginalDst)?.sin_port };
    Ok(u16::from_be(port))
}
