//! envoy-api
