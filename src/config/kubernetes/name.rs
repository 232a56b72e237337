//! What Kubernetes takes for names, and for labels.

/// How long the parts of names may be.
const LONGEST_NAME: usize = 253;
const LONGEST_PART: usize = 63;

/// Whether a text is a DNS label in lower case, such as the name of a namespace.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= LONGEST_PART && is_dns_part(text)
}

/// Whether a text is a DNS name in lower case, such as the name of most objects. Only the whole is bounded in length.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('.').all(is_dns_part)
}

/// Whether a text is what may follow the slash in a label's key, or a label's value that is not empty.
pub fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= LONGEST_PART
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Whether a text is the key of a label or annotation: a name, and a domain before it perhaps.
pub fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(&domain.to_ascii_lowercase()) && is_label_text(name),
        None => is_label_text(key),
    }
}

fn is_dns_part(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        let (long, longer) = ("a".repeat(63), "a".repeat(64));
        for (text, label, subdomain, label_text, key) in [
            ("shop", true, true, true, true),
            ("a-1", true, true, true, true),
            ("a.b", false, true, true, true),
            ("A_b.c", false, false, true, true),
            ("example.com/A_b", false, false, false, true),
            ("example.com/", false, false, false, false),
            ("a/b/c", false, false, false, false),
            ("-a", false, false, false, false),
            ("a..b", false, false, true, true),
            ("", false, false, false, false),
            (&long, true, true, true, true),
            (&longer, false, true, false, false),
        ] {
            let is = (is_dns_label(text), is_dns_subdomain(text), is_label_text(text), is_label_key(text));
            assert_eq!(is, (label, subdomain, label_text, key), "{text}");
        }
    }
}
