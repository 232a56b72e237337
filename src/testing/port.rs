//! Ports for what a test starts a little later.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that the kernel gives to clients (`net.ipv4.ip_local_port_range`): a connection of another test can't take one of these
/// between the choice and its use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of loopback at which nobody listens now, and that no other call in this process is given.
///
/// Where a process can bind port 0 and say what it got, that is the better way.
pub(crate) fn free_port() -> u16 {
    // Processes that run beside each other begin at different places.
    let start = u16::try_from(process::id() % u32::from(COUNT)).unwrap_or_default();
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a port of loopback is free")
}
