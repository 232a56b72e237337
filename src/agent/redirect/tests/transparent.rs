//! Transparent interception at work: whoever is called sees who calls.

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, setsockopt, socket,
    sockopt::{IpTransparent, Mark},
};
use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
};

use super::{INBOUND, OUTBOUND, PROXY, transparent};
use crate::agent::redirect::{Backend, Capture, Selection, apply};
use crate::testing::pod::{
    CLIENT, CLIENT_V6, OUTSIDE, Outside, POD, POD_V6, SERVICE, answer, answer_with_port, as_user, call_as, has, in_namespace, read,
};

const TESTS: &str = "agent::redirect::tests::transparent::";
const APPLICATION: u32 = 1000;

#[test]
fn the_application_sees_who_calls() {
    in_namespace(&format!("{TESTS}the_application_sees_who_calls"), || scenario(Backend::Auto));
}

#[test]
fn iptables_lets_the_application_see_who_calls() {
    let this = format!("{TESTS}iptables_lets_the_application_see_who_calls");
    if has(&this, "iptables-restore") {
        in_namespace(&this, || scenario(Backend::Iptables));
    }
}

fn scenario(backend: Backend) {
    let outside = Outside::beside_this_pod();
    outside.answer(80);
    answer(TcpListener::bind("[::]:8080").unwrap(), |peer, _| format!("application, called by {peer}"));
    answer_with_port(15020);
    answer_with_port(OUTBOUND);
    let capture = transparent();
    for _ in 0..2 {
        apply(&capture.rules(), backend).unwrap();
    }
    assert_eq!(outside.call(POD, 8080), None, "nobody gets past a proxy that is not there");
    assert_eq!(outside.call(POD, 15020).as_deref(), Some("15020"), "but for ports that are left alone");

    // What Envoy's listener is.
    let listener = transparent_socket(AddressFamily::Inet6);
    bind(listener.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from(([0u16; 8], INBOUND)))).unwrap();
    listen(&listener, Backlog::new(8).unwrap()).unwrap();
    answer(listener.into(), |peer, local| {
        format!("proxy, called by {peer} as {}", SocketAddr::new(local.ip().to_canonical(), local.port()))
    });
    for (pod, client, family) in [(POD, CLIENT, AddressFamily::Inet), (POD_V6, CLIENT_V6, AddressFamily::Inet6)] {
        let address = |port| SocketAddr::new(pod.parse().unwrap(), port);
        let to_proxy = format!("proxy, called by {client} as {}", address(8080));
        assert_eq!(outside.call(pod, 8080), Some(to_proxy), "the proxy is called in the application's place");
        assert_eq!(outside.call(pod, 15020).as_deref(), Some("15020"));
        // What Envoy does then.
        let told = as_user(0, PROXY, || {
            let socket = transparent_socket(family);
            setsockopt(&socket, Mark, &1337).unwrap();
            let from = SocketAddr::new(client.parse::<IpAddr>().unwrap(), 0);
            bind(socket.as_raw_fd(), &SockaddrStorage::from(from)).unwrap();
            connect(socket.as_raw_fd(), &SockaddrStorage::from(address(8080))).unwrap();
            read(&TcpStream::from(socket))
        });
        assert_eq!(told, Some(format!("application, called by {client}")), "and calls it in the client's name");
        assert_eq!(
            call_as(APPLICATION, APPLICATION, pod, 8080),
            Some(format!("application, called by {pod}")),
            "its own calls are its own"
        );
        let to_itself = call_as(0, PROXY, pod, 8080).unwrap();
        assert!(to_itself.starts_with("proxy, "), "a call that was balanced onto its own pod comes in as any other: {to_itself}");
    }
    assert_eq!(call_as(APPLICATION, APPLICATION, SERVICE, 80), Some(OUTBOUND.to_string()), "outbound calls go through the proxy");
    assert_eq!(call_as(0, PROXY, SERVICE, 80).as_deref(), Some(OUTSIDE), "and from there to where they lead");

    let only = Capture { inbound_ports: Selection::Only(vec![9000]), ..capture };
    apply(&only.rules(), backend).unwrap();
    assert_eq!(outside.call(POD, 8080), Some(format!("application, called by {CLIENT}")), "only listed ports are captured");
    assert_eq!(outside.call(POD, 9000), Some(format!("proxy, called by {CLIENT} as {POD}:9000")), "whoever listens there");

    apply(&Capture { inbound_ports: Selection::Only(vec![]), ..Capture::usual() }.rules(), backend).unwrap();
    assert_eq!(outside.call(POD, 9000), None, "nothing is left of it");
}

/// A socket that takes connections to anybody, and makes them from anybody.
fn transparent_socket(family: AddressFamily) -> OwnedFd {
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, IpTransparent, &true).unwrap();
    socket
}
