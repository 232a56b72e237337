//! Citadel as a whole, against a fake API server, and the rules of what it signs.

mod end_to_end;
mod signing;
