//! What is asked about: a connection, and what is sent by it.

use std::net::IpAddr;

/// A connection that an application, or a gateway's client, opens.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The address that it is opened to; `None` where that is not known, and no service has it.
    pub address: Option<IpAddr>,
    /// The port; for a gateway that of its pod.
    pub port: u16,
    /// How the bytes travel.
    pub transport: Transport,
    /// The request within it; `None` for bytes that are no HTTP.
    pub http: Option<HttpRequest>,
}

/// How bytes travel.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Within TLS of the client's own.
    Tls {
        /// The server's name that the client asks for; empty for none.
        server_name: String,
    },
    /// Within the mesh's mutual TLS, offering these protocols.
    Mesh {
        /// Application protocols, as the client offers them.
        protocols: Vec<String>,
    },
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// `GET` and the like.
    pub method: String,
    /// The host, with its port if the client names it.
    pub authority: String,
    /// The path, with its query.
    pub path: String,
    /// Further headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

// === impl Transport ===

impl Transport {
    /// The server's name that is asked for.
    pub(super) fn server_name(&self) -> &str {
        match self {
            Self::Tls { server_name } => server_name,
            Self::Plain | Self::Mesh { .. } => "",
        }
    }

    /// Whether it is TLS.
    pub(super) fn is_tls(&self) -> bool {
        *self != Self::Plain
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }
}

// === impl HttpRequest ===

impl HttpRequest {
    /// The path without its query.
    pub(super) fn bare_path(&self) -> &str {
        self.path.split(['?', '#']).next().unwrap_or_default()
    }

    /// The query, without the question mark.
    pub(super) fn query(&self) -> &str {
        let whole = self.path.split('#').next().unwrap_or_default();
        whole.split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of a header, those of several joined as Envoy joins them; pseudo-headers too.
    pub(super) fn header(&self, name: &str, scheme: &str) -> Option<String> {
        match name {
            ":method" => return Some(self.method.clone()),
            ":authority" | "host" => return Some(self.authority.clone()),
            ":path" => return Some(self.path.clone()),
            ":scheme" => return Some(scheme.to_owned()),
            _ => {}
        }
        let values: Vec<&str> =
            self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}
