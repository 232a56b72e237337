//! What users of the API rely on, and that it is the API of the Envoy that we ship.

mod any;
mod json;
mod patch;
mod pinned_envoy;
