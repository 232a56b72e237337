//! Answers that a route gives itself: redirects and fixed responses.

use ferromesh_crds::networking::virtual_service::{DerivePort, HttpDirectResponse, HttpRedirect};
use k8s_openapi::ByteString;
use serde_json::json;

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::config::text::shared;
use crate::model::{self, Body, HttpAction, RedirectPort};

/// The codes with which Envoy redirects.
const REDIRECTS: [u32; 5] = [301, 302, 303, 307, 308];
/// The longest body that a route may answer with. The reference has the same.
const LONGEST_BODY: usize = 1 << 20;
/// What is warned of, as in the reference.
const LONG_BODY: usize = 100 << 10;

pub(super) fn redirect(reading: &mut Reading<'_>, at: &At<'_>, redirect: &HttpRedirect) -> HttpAction {
    let (uri, authority, scheme) = (shared(&redirect.uri), shared(&redirect.authority), shared(&redirect.scheme));
    let prefix = shared(&redirect.prefix_rewrite);
    let moved = redirect.port.is_some() || redirect.derive_port.is_some();
    if uri.is_none() && prefix.is_none() && authority.is_none() && scheme.is_none() && !moved {
        reading.error(at, Code::Required, "a redirect needs a uri, an authority, a scheme or a port");
    }
    reading.at_most_one(at, [("uri", uri.is_some()), ("prefixRewrite", prefix.is_some())]);
    reading.at_most_one(at, [("port", redirect.port.is_some()), ("derivePort", redirect.derive_port.is_some())]);
    let derived = redirect.derive_port.map(|derive| match derive {
        DerivePort::FromProtocolDefault => RedirectPort::OfScheme,
        DerivePort::FromRequestPort => RedirectPort::OfRequest,
    });
    if let Some(scheme) = scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme)) {
        reading.error(&at.field("scheme"), Code::NotAllowed, format!("{} is not one of http, https", quoted(scheme)));
    }
    let code = redirect.redirect_code.filter(|code| *code != 0).unwrap_or(REDIRECTS[0]);
    if !REDIRECTS.contains(&code) {
        let message = format!("{code} is no redirect that a proxy sends: use 301, 302, 303, 307 or 308");
        reading.error(&at.field("redirectCode"), Code::NotAllowed, message);
    }
    if redirect.port == Some(0) {
        reading.warn(&at.field("port"), Code::NoEffect, "0 is the same as no port");
    }
    let port = reading.optional_port(&at.field("port"), redirect.port).map(RedirectPort::Number).or(derived);
    HttpAction::Redirect(Box::new(model::HttpRedirect {
        uri,
        prefix,
        authority,
        scheme,
        port,
        code: u16::try_from(code).unwrap_or_default(),
    }))
}

pub(super) fn direct_response(reading: &mut Reading<'_>, at: &At<'_>, response: &HttpDirectResponse) -> Option<HttpAction> {
    let status = status(reading, &at.field("status"), response.status);
    let here = at.field("body");
    let body = response.body.as_ref().and_then(|body| {
        reading.at_most_one(&here, [("string", body.string.is_some()), ("bytes", body.bytes.is_some())]);
        match (&body.string, &body.bytes) {
            (Some(text), _) => Some(Body::Text(text.as_str().into())),
            (None, Some(encoded)) => decoded(reading, &here.field("bytes"), encoded),
            (None, None) => None,
        }
    });
    let size = match &body {
        Some(Body::Text(text)) => text.len(),
        Some(Body::Bytes(bytes)) => bytes.len(),
        None => 0,
    };
    if size > LONGEST_BODY {
        reading.error(&here, Code::WrongSize, "a body has 1 MiB at most");
    } else if size > LONG_BODY {
        reading.warn(&here, Code::WrongSize, format!("{size} bytes go to every proxy with each change of its routes: 100 KiB are much"));
    }
    status.map(|status| HttpAction::Respond { status, body })
}

/// A status code that Envoy answers with.
fn status(reading: &mut Reading<'_>, at: &At<'_>, status: Option<u32>) -> Option<u16> {
    let Some(given) = status else {
        reading.required(at);
        return None;
    };
    let status = u16::try_from(given).ok().filter(|status| (200..=599).contains(status));
    if status.is_none() {
        reading.error(at, Code::OutOfRange, format!("{given} must be from 200 to 599"));
    }
    status
}

fn decoded(reading: &mut Reading<'_>, at: &At<'_>, encoded: &str) -> Option<Body> {
    let Ok(ByteString(bytes)) = serde_json::from_value(json!(encoded)) else {
        reading.error(at, Code::Unreadable, "must be base64");
        return None;
    };
    Some(match String::from_utf8(bytes) {
        Ok(text) => Body::Text(text.into()),
        Err(other) => Body::Bytes(other.into_bytes().into()),
    })
}
