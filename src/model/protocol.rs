//! What is spoken on a port.

use std::fmt;

/// The protocol of a service port. Source of the rules: the reference's documentation on protocol selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 in plain text or under the mesh's own TLS.
    Http2,
    /// gRPC, routed as HTTP/2.
    Grpc,
    /// gRPC-Web, routed as HTTP/1.1.
    GrpcWeb,
    /// TLS that the application itself ends, carrying HTTP.
    Https,
    /// TLS that the application itself ends.
    Tls,
    /// Opaque bytes.
    Tcp,
    /// Routed as TCP.
    Mongo,
    /// Routed as TCP.
    Redis,
    /// Routed as TCP; the server speaks first.
    Mysql,
    /// Never captured by a sidecar.
    Udp,
    /// Not declared: the proxy looks at the first bytes.
    Auto,
}

impl Protocol {
    /// The protocol of a Kubernetes service port, from its transport protocol, `appProtocol`, name and number, in that order of weight.
    pub fn of_service_port(transport: Option<&str>, app_protocol: Option<&str>, name: Option<&str>, number: u16) -> Self {
        if transport == Some("UDP") {
            return Self::Udp;
        }
        let declared = match app_protocol {
            Some("kubernetes.io/h2c") => Some(Self::Http2),
            Some("kubernetes.io/ws") => Some(Self::Http),
            Some("kubernetes.io/wss") => Some(Self::Https),
            Some(other) => Self::named(other),
            None => name.and_then(Self::of_port_name),
        };
        declared.unwrap_or(match number {
            // Well-known ports whose servers speak first: sniffing would wait for a client that waits too.
            25 | 53 | 3306 | 27017 => Self::Tcp,
            _ => Self::Auto,
        })
    }

    /// The protocol that a port's name declares: the part before the first dash (`http-web`), `grpc-web` as a whole.
    pub fn of_port_name(name: &str) -> Option<Self> {
        if name.get(.."grpc-web".len()).is_some_and(|n| n.eq_ignore_ascii_case("grpc-web")) {
            return Some(Self::GrpcWeb);
        }
        Self::named(name.split('-').next().unwrap_or(name))
    }

    /// A protocol by its name in a `Gateway` or `ServiceEntry` port, in any case; `None` for an unknown one.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::Mysql,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Routed by HTTP rules.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Spoken over HTTP/2 to the upstream.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// Already TLS when it leaves the application.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// The name that configuration uses, in upper case as the reference prints it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::GrpcWeb => "GRPC-WEB",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Mongo => "MONGO",
            Self::Redis => "REDIS",
            Self::Mysql => "MYSQL",
            Self::Udp => "UDP",
            Self::Auto => "AUTO",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_outweighs_the_name_and_the_name_outweighs_the_number() {
        let of = Protocol::of_service_port;
        assert_eq!(of(Some("TCP"), Some("grpc"), Some("http-web"), 80), Protocol::Grpc);
        assert_eq!(of(None, None, Some("HTTP-web"), 3306), Protocol::Http);
        assert_eq!(of(None, None, Some("grpc-web-x"), 80), Protocol::GrpcWeb);
        assert_eq!(of(None, None, Some("db"), 3306), Protocol::Tcp);
        assert_eq!(of(None, None, None, 9080), Protocol::Auto);
        assert_eq!(of(Some("UDP"), None, Some("http"), 80), Protocol::Udp);
        assert_eq!(of(None, Some("kubernetes.io/h2c"), None, 80), Protocol::Http2);
    }
}
