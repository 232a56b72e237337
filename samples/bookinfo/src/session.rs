//! Who is signed in: a name in a cookie. There is no password and so nothing to protect; the name only steers routing.

use std::str::FromStr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

const COOKIE_NAME: &str = "user";
const MAX_CHARS: usize = 64;

/// A visitor's name: 1 to 64 characters without control characters, so that it fits in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User(String);

/// Why a name is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InvalidUser {
    #[error("the user name is empty")]
    Empty,
    #[error("the user name is longer than {MAX_CHARS} characters")]
    TooLong,
    #[error("the user name has control characters")]
    Control,
}

// === impl User ===

impl FromStr for User {
    type Err = InvalidUser;

    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        let name = text.trim();
        if name.is_empty() {
            Err(InvalidUser::Empty)
        } else if name.chars().count() > MAX_CHARS {
            Err(InvalidUser::TooLong)
        } else if name.chars().any(char::is_control) {
            Err(InvalidUser::Control)
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

impl User {
    /// The user of a request's cookies; a cookie that was tampered with counts as none.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE_NAME)
            .and_then(|(_, value)| decode(value)?.parse().ok())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The name as a header's value, in UTF-8.
    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.0.as_bytes()).expect("a user name has no control characters")
    }

    /// The `Set-Cookie` that signs in, until the browser is closed.
    pub(crate) fn set_cookie(&self) -> String {
        format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Lax", encode(&self.0))
    }
}

/// The `Set-Cookie` that signs out.
pub(crate) fn clear_cookie() -> String {
    format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Percent-encodes what RFC 3986 does not call unreserved; a plain name stays readable for rules that match on cookies.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The reverse of [`encode`]; none for what it can't have made.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).expect("valid"))])
    }

    #[test]
    fn names_come_back_from_their_cookie() {
        for name in ["jason", "Zoë; Path=/", "<b>%41</b>", "a=b\"c", "日本"] {
            let user: User = name.parse().expect("valid");
            let set = user.set_cookie();
            let (pair, attributes) = set.split_once(';').expect("attributes");
            assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
            assert_eq!(User::of(&cookies(&format!("theme=dark; {pair}"))), Some(user), "{name}");
        }
        assert!("jason".parse::<User>().expect("valid").set_cookie().starts_with("user=jason;"));
    }

    #[test]
    fn names_that_fit_in_no_header_are_refused() {
        assert_eq!("  ".parse::<User>(), Err(InvalidUser::Empty));
        assert_eq!("a\r\nb: c".parse::<User>(), Err(InvalidUser::Control));
        assert_eq!("x".repeat(65).parse::<User>(), Err(InvalidUser::TooLong));
    }

    #[test]
    fn tampered_cookies_sign_nobody_in() {
        for value in ["user=", "user=%", "user=%4", "user=%zz", "user=%FF", "user=a%0D%0Ab", "username=jason", "user"] {
            assert_eq!(User::of(&cookies(value)), None, "{value}");
        }
    }
}
