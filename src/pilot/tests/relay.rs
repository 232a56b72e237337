//! A bad network on loopback: what goes through it takes its time, and now and then a piece has to be sent again.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// As much as one packet carries.
const PACKET: usize = 1400;
/// So many packets may be under way in one direction of a connection.
const WINDOW: usize = 64;

/// How bad a network is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// How long each packet is under way.
    pub(super) delay: Duration,
    /// How many of a hundred are lost. TCP sends them again, and what came after them has to wait.
    pub(super) lost: u64,
}

/// The way to one server. It ends, with all connections, when this is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

// === impl Relay ===

impl Relay {
    pub(super) async fn to(server: SocketAddr, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let mut directions = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(server).await else { continue };
                far.set_nodelay(true).unwrap();
                near.set_nodelay(true).unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                for (from, to, seed) in [(near_in, far_out, 1), (far_in, near_out, 2)] {
                    directions.spawn(direction(from, to, weather, seed));
                }
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One direction of a connection, until an end closes it.
async fn direction(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, weather: Weather, seed: u64) {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(WINDOW);
    let reading = async move {
        let (mut chance, mut last) = (seed, Instant::now());
        loop {
            let mut packet = vec![0; PACKET];
            let Ok(length @ 1..) = from.read(&mut packet).await else { return };
            packet.truncate(length);
            // Knuth's generator: the same losses in every run.
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lost = (chance >> 33) % 100 < weather.lost;
            // That it is missing is known after a round trip.
            let arrives = Instant::now() + if lost { 3 * weather.delay } else { weather.delay };
            last = last.max(arrives);
            if send.send((last, packet)).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((arrives, packet)) = receive.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&packet).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
