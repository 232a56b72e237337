//! URLs, as far as configuration has them: read without resolving anything.

use std::net::Ipv6Addr;

/// A URL, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'t> {
    /// The scheme as it is written; `None` if there is none.
    pub(super) scheme: Option<&'t str>,
    /// The host, without the brackets of an IPv6 address; empty if there is none.
    pub(super) host: &'t str,
    /// The port.
    pub(super) port: Option<u16>,
    /// What follows host and port.
    pub(super) path: &'t str,
}

// === impl Url ===

impl<'t> Url<'t> {
    /// Reads `SCHEME://HOST:PORT/PATH`, or the same without a scheme, as images are written.
    ///
    /// # Errors
    /// What is wrong, to follow the text in a message.
    pub(super) fn parse(text: &'t str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("has a blank or a control character".to_owned());
        }
        if !escapes_are_whole(text) {
            return Err("has a '%' without two hexadecimal digits".to_owned());
        }
        let (scheme, rest) = match scheme(text) {
            Some((scheme, rest)) => {
                let rest =
                    rest.strip_prefix("//").ok_or_else(|| format!("has nothing but {scheme:?} before its first colon: write SCHEME://"))?;
                (Some(scheme), rest)
            }
            None => (None, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let (host, port) = host_and_port(address)?;
        Ok(Self { scheme, host, port, path })
    }

    /// Whether the scheme is this one, in any case.
    pub(super) fn has_scheme(&self, name: &str) -> bool {
        self.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(name))
    }
}

/// What stands before the first colon, if it can be a scheme, and what follows.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))).then_some((scheme, rest))
}

fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(index, byte)| *byte != b'%' || (digit(index + 1) && digit(index + 2)))
}

fn host_and_port(address: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has a '[' without ']'")?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("has {host:?} in brackets, which is no IPv6 address"))?;
            (host, after)
        }
        None => {
            let (host, after) = address.split_at(address.rfind(':').unwrap_or(address.len()));
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte) || !byte.is_ascii();
            if !host.bytes().all(legal) {
                return Err(format!("has the malformed host {host:?}"));
            }
            (host, after)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        None => Err(format!("has {port:?} behind its host")),
        Some("") => Ok((host, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(|port| (host, Some(port))).map_err(|_| format!("has the port {digits}, which must be from 0 to 65535"))
        }
        Some(other) => Err(format!("has {other:?} for a port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parsed = Url::parse("https://user@keys.example.com:8443/certs?x=1").unwrap();
        assert_eq!(parsed, Url { scheme: Some("https"), host: "keys.example.com", port: Some(8443), path: "/certs?x=1" });
        let image = Url::parse("registry.local/team/filter:v1").unwrap();
        assert_eq!(image, Url { scheme: None, host: "registry.local", port: None, path: "/team/filter:v1" });
        assert_eq!(Url::parse("http://[::1]:80/x").unwrap().host, "::1");
        assert_eq!(Url::parse("10.0.0.1:5000/x").unwrap().port, Some(5000));
        assert_eq!(Url::parse("file:///opt/x.wasm").unwrap().path, "/opt/x.wasm");
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in r"([a-c0-9:/@%?#.\[\]é]|\PC){0,40}") {
            _ = Url::parse(&text);
        }
    }

    #[test]
    fn malformed_urls_are_refused() {
        for text in
            ["#%blah$#@", "http://a b", "http://[::1", "http://[x]/", "http://a:b/", "http://a:70000/", "localhost:5000/x", "http://a\n"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
