//! Headers that travel from a request to the requests that are made for it, so that traces hang together and routing by user works
//! at every hop.

use http::{HeaderMap, HeaderName};

use crate::session::User;

/// The signed-in user, as the services behind the page see it.
pub(crate) const END_USER: HeaderName = HeaderName::from_static("end-user");

/// The request's number, which the mesh gives.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is passed on: the trace contexts of the usual tracers, and who is asking with what.
const PASSED_ON: [HeaderName; 24] = [
    REQUEST_ID,
    // W3C trace context
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    // Zipkin, in its single and its several headers
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
    HeaderName::from_static("x-b3-spanid"),
    HeaderName::from_static("x-b3-parentspanid"),
    HeaderName::from_static("x-b3-sampled"),
    HeaderName::from_static("x-b3-flags"),
    // Lightstep, Google Cloud, OpenCensus, SkyWalking, Datadog
    HeaderName::from_static("x-ot-span-context"),
    HeaderName::from_static("x-cloud-trace-context"),
    HeaderName::from_static("grpc-trace-bin"),
    HeaderName::from_static("sw8"),
    HeaderName::from_static("x-datadog-trace-id"),
    HeaderName::from_static("x-datadog-parent-id"),
    HeaderName::from_static("x-datadog-sampling-priority"),
    HeaderName::from_static("x-datadog-origin"),
    HeaderName::from_static("x-datadog-tags"),
    // the visitor
    END_USER,
    http::header::USER_AGENT,
    http::header::COOKIE,
    http::header::AUTHORIZATION,
    HeaderName::from_static("jwt"),
];

/// The headers of `incoming` that a service inside passes on.
pub(crate) fn passed_on(incoming: &HeaderMap) -> HeaderMap {
    let mut outgoing = HeaderMap::new();
    for name in PASSED_ON {
        for value in incoming.get_all(&name) {
            outgoing.append(name.clone(), value.clone());
        }
    }
    outgoing
}

/// As [`passed_on`], at the edge: here `end-user` is the session's user and never what the visitor's own header says.
pub(crate) fn passed_on_for(user: Option<&User>, incoming: &HeaderMap) -> HeaderMap {
    let mut outgoing = passed_on(incoming);
    outgoing.remove(END_USER);
    if let Some(user) = user {
        outgoing.insert(END_USER, user.header_value());
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn other_headers_stay_behind_and_repeated_ones_stay_repeated() {
        let mut incoming = HeaderMap::new();
        incoming.append("tracestate", HeaderValue::from_static("a=1"));
        incoming.append("tracestate", HeaderValue::from_static("b=2"));
        incoming.insert("host", HeaderValue::from_static("productpage"));
        incoming.insert("content-length", HeaderValue::from_static("7"));
        let outgoing = passed_on(&incoming);
        assert_eq!(outgoing.len(), 2);
        assert_eq!(outgoing.get_all("tracestate").iter().count(), 2);
    }

    #[test]
    fn visitor_cannot_name_himself_by_header() {
        let mut incoming = HeaderMap::new();
        incoming.insert(END_USER, HeaderValue::from_static("jason"));
        assert!(!passed_on_for(None, &incoming).contains_key(END_USER));
        let user: User = "mary".parse().expect("valid");
        assert_eq!(passed_on_for(Some(&user), &incoming)[END_USER], "mary");
    }
}
