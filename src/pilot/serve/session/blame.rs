//! Which resources a proxy's complaint is about.

/// Whether `message` names a resource. A name within a longer one does not count: `0.0.0.0_80` is not named by `0.0.0.0_8080`.
pub(super) fn names(message: &str, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    message.match_indices(name).any(|(at, _)| {
        let (before, after) = (&message[..at], &message[at + name.len()..]);
        !before.ends_with(continues_a_name) && !begins_within_a_name(after)
    })
}

fn continues_a_name(c: char) -> bool {
    c.is_alphanumeric() || "_-|.*".contains(c)
}

/// A full stop continues a name only if more of the name follows; otherwise it ends a sentence.
fn begins_within_a_name(after: &str) -> bool {
    let mut rest = after.chars();
    match rest.next() {
        Some('.') => rest.next().is_some_and(char::is_alphanumeric),
        Some(c) => continues_a_name(c),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_is_found_between_punctuation() {
        let message = "Error adding/updating listener(s) 0.0.0.0_8080: no such filter. virtualInbound: bad chain";
        assert!(names(message, "0.0.0.0_8080"));
        assert!(names(message, "virtualInbound"));
        assert!(names("cluster outbound|80||a.shop.svc.cluster.local.", "outbound|80||a.shop.svc.cluster.local"));
    }

    #[test]
    fn a_part_of_a_longer_name_is_not_that_name() {
        let message = "bad: outbound|80|v1|a.shop.svc.cluster.local and 0.0.0.0_8080";
        assert!(!names(message, "0.0.0.0_80"));
        assert!(!names(message, "a.shop.svc.cluster.local"));
        assert!(!names(message, "outbound|80|v1|a.shop"));
        assert!(!names(message, ""));
    }
}
