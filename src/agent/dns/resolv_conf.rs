//! The pod's own resolver configuration, as the kubelet writes it.

use std::net::IpAddr;

/// What of `resolv.conf` matters here. Whatever else is in it is for the application's resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, in the order in which they are to be asked.
    pub servers: Vec<IpAddr>,
    /// The domains that are put behind names that are not complete, in order, without a dot at the end.
    pub search: Vec<String>,
}

// === impl ResolvConf ===

impl ResolvConf {
    /// Reads the file's text as resolv.conf(5) says. What is not understood is left out, as resolvers do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                // An address may name its interface, which means nothing to who asks from this pod alone.
                Some("nameserver") => read.servers.extend(words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok())),
                // The last line counts.
                Some("search" | "domain") => {
                    read.search =
                        words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
                }
                _ => {}
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_the_last_search_line_count() {
        let text = "# made by the kubelet\nsearch old.example\nsearch shop.svc.cluster.local svc.cluster.local Example.COM.\n\
                    nameserver 10.96.0.10\nnameserver fe80::1%eth0\nnameserver nonsense\noptions ndots:5\n; end\n";
        let read = ResolvConf::parse(text);
        assert_eq!(read.servers, ["10.96.0.10", "fe80::1"].map(|it| it.parse::<IpAddr>().unwrap()));
        assert_eq!(read.search, ["shop.svc.cluster.local", "svc.cluster.local", "example.com"]);
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }
}
