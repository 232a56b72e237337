//! The form into which a proxy brings paths before anything looks at them.

use std::borrow::Cow;

use envoy_api::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::PathWithEscapedSlashesAction,
};

use super::{HttpRequest, Step, decision::Trace};

/// A request with its path in the form that a connection manager gives it.
pub(super) fn normalized<'r>(manager: &HttpConnectionManager, request: &'r HttpRequest, trace: &mut Trace) -> Cow<'r, HttpRequest> {
    let end = request.path.find(['?', '#']).unwrap_or(request.path.len());
    let (path, rest) = request.path.split_at(end);
    let mut new = path.to_owned();
    if manager.path_with_escaped_slashes_action() == PathWithEscapedSlashesAction::UnescapeAndForward {
        for escaped in ["%2F", "%2f", "%5C", "%5c"] {
            new = new.replace(escaped, "/");
        }
    }
    if manager.normalize_path.unwrap_or(false) {
        new = resolved(&unescaped(&new).replace('\\', "/"));
    }
    if manager.merge_slashes {
        while new.contains("//") {
            new = new.replace("//", "/");
        }
    }
    if new == path {
        return Cow::Borrowed(request);
    }
    trace.decided(Step::Rewrite, "", format!("the path {path} is taken for {new}"), Vec::new());
    Cow::Owned(HttpRequest { path: format!("{new}{rest}"), ..request.clone() })
}

/// Characters that need no escape, and dots above all, as themselves.
fn unescaped(path: &str) -> String {
    let mut new = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        new.push_str(before);
        let code = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|code| code.is_ascii_alphanumeric() || b"-._~".contains(code)) {
            Some(code) => {
                new.push(char::from(code));
                rest = &escape[3..];
            }
            None => {
                new.push('%');
                rest = &escape[1..];
            }
        }
    }
    new + rest
}

/// The path without `.` and `..`; nothing leads above the root.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, change: impl FnOnce(&mut HttpConnectionManager)) -> String {
        let mut manager = HttpConnectionManager { normalize_path: Some(true), ..HttpConnectionManager::default() };
        change(&mut manager);
        let request = HttpRequest { method: "GET".to_owned(), authority: "a".to_owned(), path: path.to_owned(), headers: Vec::new() };
        normalized(&manager, &request, &mut Trace::default()).path.clone()
    }

    #[test]
    fn dots_are_resolved_and_what_needs_no_escape_has_none() {
        let cases = [
            ("/a/./b/../c?x=/../y", "/a/c?x=/../y"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/%2e%2E/%61%2fb", "/a%2fb"),
            (r"/a\b", "/a/b"),
            ("/a//b", "/a//b"),
            ("/a%zz%", "/a%zz%"),
            ("/a/.", "/a/"),
        ];
        for (path, expected) in cases {
            assert_eq!(told(path, |_| {}), expected, "{path}");
        }
        assert_eq!(told("/a/../b", |manager| manager.normalize_path = None), "/a/../b");
    }

    #[test]
    fn slashes_become_one_where_that_is_asked_for() {
        assert_eq!(told("/a///b//", |manager| manager.merge_slashes = true), "/a/b/");
        let decoding = |manager: &mut HttpConnectionManager| {
            manager.merge_slashes = true;
            manager.path_with_escaped_slashes_action = PathWithEscapedSlashesAction::UnescapeAndForward.into();
        };
        assert_eq!(told("/a%2F%5cb/%2F..", decoding), "/a/b/");
    }
}
