//! A tiny client and server of bytes that are no HTTP.

use std::{net::Ipv4Addr, sync::Arc};

use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// An upstream that answers the first bytes of a connection with its name and ends it.
pub(crate) struct Speaker {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

// === impl Speaker ===

impl Speaker {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    if stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                        let _ = stream.write_all(name.as_bytes()).await;
                    }
                });
            }
        });
        Self { port, serving }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An upstream that takes connections and never answers.
pub(crate) struct Silent {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

// === impl Silent ===

impl Silent {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.push(stream);
            }
        });
        Self { port, serving }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Says something on a connection of its own to a port of loopback. Returns what comes back until the connection ends.
pub(crate) async fn say(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The first bytes of a TLS connection to a server of that name.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}
