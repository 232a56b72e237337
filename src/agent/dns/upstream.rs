//! Asking the pod's own servers, in order, what the mesh does not know.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::answer::answers;

/// How long one server may take. The application's own resolver gives up after 5 s, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest reply by UDP that is passed on.
const LARGEST_DATAGRAM: usize = 4096;

/// The servers. Clones share the list.
#[derive(Clone, Debug)]
pub(super) struct Upstream(Arc<[SocketAddr]>);

// === impl Upstream ===

impl Upstream {
    /// Servers, which are asked at that port.
    pub(super) fn new(servers: &[IpAddr], port: u16) -> Self {
        Self(servers.iter().map(|server| SocketAddr::new(*server, port)).collect())
    }

    /// The first server's reply by UDP; none if no server gives one.
    pub(super) async fn ask_by_udp(&self, query: &[u8]) -> Option<Vec<u8>> {
        for server in &*self.0 {
            if let Ok(Ok(reply)) = timeout(PATIENCE, by_udp(*server, query)).await {
                return Some(reply);
            }
        }
        None
    }

    /// The same by TCP.
    pub(super) async fn ask_by_tcp(&self, query: &[u8]) -> Option<Vec<u8>> {
        for server in &*self.0 {
            if let Ok(Ok(reply)) = timeout(PATIENCE, by_tcp(*server, query)).await {
                return Some(reply);
            }
        }
        None
    }
}

/// Each query has a socket of its own: its port is as hard to guess as the query's number.
async fn by_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut reply = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut reply).await?;
        if answers(&reply[..length], query) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, query).await?;
    let reply = read_message(&mut stream).await?;
    if answers(&reply, query) { Ok(reply) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A message by TCP has its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// The next message of a stream.
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
