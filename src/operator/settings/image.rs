//! Where images come from.

use ferromesh_crds::install::MeshInstallSpec;
use std::net::Ipv6Addr;

use super::problem::Field;
use crate::config::kubernetes::is_dns_subdomain;

/// The longest tag.
const LONGEST_TAG: usize = 128;

/// What is wrong with the images of a spec.
pub(super) fn check(spec: &MeshInstallSpec, mut field: Field<'_>) {
    if let Some(hub) = spec.hub.as_ref().filter(|hub| !is_hub(hub)) {
        field
            .at("hub")
            .wrong(format!("{hub:?} is no place of images: write for example registry.example:5000/team, without a slash at the end"));
    }
    if let Some(tag) = spec.tag.as_ref().filter(|tag| !is_tag(tag)) {
        field.at("tag").wrong(format!("{tag:?} must be letters, digits, _, . and -, {LONGEST_TAG} at most, the first no . or -"));
    }
    for (index, secret) in spec.image_pull_secrets.iter().enumerate().filter(|(_, secret)| !is_dns_subdomain(&secret.name)) {
        let reason = format!("{:?} can't name a Secret: it must be lower-case letters, digits, - and .", secret.name);
        field.at("imagePullSecrets").item(index).at("name").wrong(reason);
    }
}

/// Whether a text is a registry, perhaps with a port, and a path there; or only a path.
fn is_hub(text: &str) -> bool {
    let mut steps = text.split('/');
    let first = steps.next().unwrap_or_default();
    (is_registry(first) || is_step(first)) && steps.all(is_step)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
    // What has neither is the first part of a path.
    let is_host = text.contains(['.', ':']) || host == "localhost";
    is_host && (is_address || is_dns_subdomain(&host.to_ascii_lowercase())) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Whether a text is a part of a repository's path: words of lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between.
fn is_step(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut words = text.split(|c: char| c.is_ascii() && is_word(c as u8)).filter(|between| !between.is_empty());
    let between = |text: &str| [".", "_", "__"].contains(&text) || text.bytes().all(|byte| byte == b'-');
    text.bytes().next().is_some_and(is_word) && text.bytes().last().is_some_and(is_word) && words.all(between)
}

fn is_tag(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LONGEST_TAG).contains(&text.len()) && text.bytes().all(known) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_what_images_can_be_named_after() {
        for good in [
            "docker.io/ferromesh",
            "registry.example:5000/team/mesh",
            "localhost:5000",
            "ferromesh",
            "a__b/c--d/e.f",
            "[fd00::1]:5000/x",
            "R.example/x",
            "10.0.0.1/x",
        ] {
            assert!(is_hub(good), "{good}");
        }
        for bad in [
            "",
            "bad hub",
            "bad/",
            "/bad",
            "a//b",
            "https://a.example/x",
            "a.example/Team",
            "a.example:port/x",
            "a/b:1",
            "a___b",
            "a.example/-x",
            "Team/x",
        ] {
            assert!(!is_hub(bad), "{bad}");
        }
        assert!(["1.0.2", "_x", "latest-1"].into_iter().all(is_tag));
        assert!(!["", "1.0:2", ".1", "a+b", "a b"].into_iter().any(is_tag));
    }
}
