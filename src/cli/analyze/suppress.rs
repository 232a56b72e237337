//! What people do not want to be told of, by the flag `--suppress "IST0102=Pod *.shop"`. The annotation of objects for the same is
//! the analysis' own matter.

use std::str::FromStr;

/// One value of the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suppression {
    pub(super) code: String,
    /// `Pod *.shop`: kind, name and namespace, `*` for any letters.
    object: String,
}

// === impl Suppression ===

impl FromStr for Suppression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((code, object)) if !code.is_empty() && !object.is_empty() => {
                Ok(Self { code: code.trim().to_ascii_uppercase(), object: object.trim().to_owned() })
            }
            _ => Err("write CODE=KIND NAME.NAMESPACE, for example \"IST0102=Namespace shop\" or \"IST0103=Pod *.shop\"".to_owned()),
        }
    }
}

impl Suppression {
    /// Whether a code is not to be told of an object, given as `Pod reviews.shop`.
    pub(super) fn covers(&self, code: &str, object: &str) -> bool {
        self.code == code && matches(&self.object, object)
    }
}

/// Whether a text is what a pattern stands for, in which `*` is any letters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        assert!(matches("Pod *.shop", "Pod reviews-1.shop"));
        assert!(matches("*", "Namespace shop"));
        assert!(matches("Pod a*b*c.shop", "Pod a1b2bc.shop"));
        assert!(!matches("Pod *.shop", "Pod reviews.store"));
        assert!(!matches("Pod *.shop", "Pod reviews.shops"));
        assert!(!matches("Pod a", "Pod ab"));
        assert!(!matches("Pod a*a", "Pod a"));
    }

    #[test]
    fn a_suppression_is_of_one_code() {
        let suppression: Suppression = "IST0103=Pod *.shop".parse().unwrap();
        assert!(suppression.covers("IST0103", "Pod a.shop"));
        assert!(!suppression.covers("IST0102", "Pod a.shop"));
        assert_eq!("ist0103 = Pod *.shop".parse(), Ok(suppression));
        assert!("IST0103".parse::<Suppression>().unwrap_err().contains("CODE=KIND NAME.NAMESPACE"));
    }
}
