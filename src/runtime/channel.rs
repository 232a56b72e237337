//! A gRPC connection by TLS with a configuration of ours, which tonic's own TLS would not take.

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Error};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address has no host, or the name is none.
    #[error("{0:?} is no host:port with a name to verify")]
    Address(String),
    /// Nobody answers, or who answers is not believed.
    #[error("can't connect to {address}")]
    Connect {
        /// Who was asked.
        address: String,
        /// Why.
        #[source]
        source: Error,
    },
}

/// How often a connection is asked whether it is still there, and how long it may take to answer: a server that is gone without a word
/// would be waited for for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Connects to `host:port`. `name` is what the server's certificate is looked at for, and what it is told that it is wanted as; the host by
/// default.
///
/// # Errors
/// When there is no connection.
pub async fn secure_channel(address: &str, name: Option<&str>, tls: ClientConfig) -> Result<Channel, ChannelError> {
    let host = address.rsplit_once(':').map(|(host, _)| host).ok_or_else(|| ChannelError::Address(address.to_owned()))?;
    let name = name.unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| ChannelError::Address(name.to_owned()))?;
    let (tls, target) = (TlsConnector::from(Arc::new(tls)), address.to_owned());
    let connector = tower::service_fn(move |_| {
        let (tls, name, target) = (tls.clone(), name.clone(), target.clone());
        async move { io::Result::Ok(TokioIo::new(tls.connect(name, TcpStream::connect(target).await?).await?)) }
    });
    // The scheme is plain because the connector brings its own TLS.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| ChannelError::Address(address.to_owned()))?;
    let endpoint = endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE).keep_alive_while_idle(true);
    let connected = endpoint.connect_with_connector(connector).await;
    connected.map_err(|source| ChannelError::Connect { address: address.to_owned(), source })
}
