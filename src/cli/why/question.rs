//! What is asked: a URL and what goes with it.

use std::{fmt, str::FromStr, sync::Arc};

use crate::compile::{Proxy, gateway_port};
use crate::model::{ProxyRole, Snapshot, Workload};
use crate::simulate::{HttpRequest, Request, Transport, destination_address};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    /// With its query; begins with a slash.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Tls,
    Tcp,
}

/// What goes with it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) port: Option<u16>,
    pub(super) server_name: Option<&'a str>,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let forms = "write http://HOST[:PORT]/PATH, https://…, tls://HOST:PORT or tcp://HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| forms.to_owned())?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tls" => Scheme::Tls,
            "tcp" => Scheme::Tcp,
            other => return Err(format!("{other:?} is not asked for: {forms}")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{port:?} is no port"))?))
            }
            _ => (authority, None),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(forms.to_owned());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, host: host.to_owned(), port, path })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match self.scheme {
            Scheme::Http => ("http", self.path.as_str()),
            Scheme::Https => ("https", self.path.as_str()),
            Scheme::Tls => ("tls", ""),
            Scheme::Tcp => ("tcp", ""),
        };
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

/// A header as curl takes it.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| "write NAME:VALUE".to_owned())?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

// === impl Destination ===

impl Destination {
    fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The request, as it leaves a workload.
    pub(super) fn request(&self, asked: &Asked<'_>, snapshot: &Arc<Snapshot>, source: &Workload, proxy: &Proxy) -> Request {
        let usual = if matches!(self.scheme, Scheme::Https | Scheme::Tls) { 443 } else { 80 };
        let called = asked.port.or(self.port).unwrap_or(usual);
        let gateway = proxy.role == ProxyRole::Router;
        let port = if gateway { gateway_port(snapshot, proxy, called) } else { called };
        let address = if gateway { None } else { destination_address(snapshot, &self.host, &source.key.namespace) };
        let is_name = self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err();
        let server_name = asked.server_name.map(str::to_owned).unwrap_or_else(|| if is_name { self.host.clone() } else { String::new() });
        let transport = match self.scheme {
            Scheme::Http | Scheme::Tcp => Transport::Plain,
            Scheme::Https | Scheme::Tls => Transport::Tls { server_name },
        };
        let http = matches!(self.scheme, Scheme::Http | Scheme::Https).then(|| self.http(asked));
        Request { address, port, transport, http }
    }

    fn http(&self, asked: &Asked<'_>) -> HttpRequest {
        let mut headers = asked.headers.to_vec();
        let named = headers.iter().position(|(name, _)| name == "host").map(|place| headers.remove(place).1);
        HttpRequest {
            method: asked.method.to_ascii_uppercase(),
            authority: named.unwrap_or_else(|| self.authority()),
            path: self.path.clone(),
            headers,
        }
    }
}
