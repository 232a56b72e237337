//! The agent from outside: its real binary, with the real Envoy, a certificate authority and a pilot of the tests' own.

// Said of each, so that what holds for tests (clippy.toml) holds for what tests share.
#[cfg(test)]
mod authority;
#[cfg(test)]
mod citadel;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod lifetimes;
#[cfg(test)]
mod page;
#[cfg(test)]
mod pilot;
#[cfg(test)]
mod pod;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod resident;
#[cfg(test)]
mod supervision;
