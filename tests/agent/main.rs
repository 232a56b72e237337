//! The agent from outside: its real binary, with the real Envoy, a certificate authority and a pilot of the tests' own.

mod authority;
mod page;
mod pilot;
mod pod;
mod proxy;
mod supervision;
