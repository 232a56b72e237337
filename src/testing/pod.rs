//! A pod and somebody outside of it, each a network namespace, on a cable between them.
//!
//! A test that needs one starts itself again in a namespace of its own, which ends with that process.

use nix::{
    sched::{CloneFlags, setns},
    unistd::{Gid, Uid, setfsgid, setfsuid},
};
use std::{
    env,
    fs::File,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::skip;

const INSIDE: &str = "FERROMESH_TEST_IN_NAMESPACE";
/// How long an answer is waited for where none may come. On these cables one comes within a millisecond.
const PATIENCE: Duration = Duration::from_millis(500);

/// Addresses of the pod, of who calls it, and of a Service that only the outside knows.
pub(crate) const POD: &str = "10.9.0.1";
pub(crate) const CLIENT: &str = "10.9.0.2";
pub(crate) const SERVICE: &str = "10.96.7.7";
/// The same in IPv6.
pub(crate) const POD_V6: &str = "fd00:9::1";
pub(crate) const CLIENT_V6: &str = "fd00:9::2";
pub(crate) const SERVICE_V6: &str = "fd00:96::7";
/// What listens outside says.
pub(crate) const OUTSIDE: &str = "outside";

/// Runs `scenario` in a network namespace of its own; `this` is the test's full name.
pub(crate) fn in_namespace(this: &str, scenario: fn()) {
    if env::var_os(INSIDE).is_some() {
        return scenario();
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(this, "only root can make a network namespace");
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(env::current_exe().unwrap()).args([this, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a program that only some machines have is here; the test is skipped if not.
pub(crate) fn has(this: &str, program: &'static str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip(this, &format!("there is no {program} on this machine"));
    }
    found
}

/// Who is outside of the pod: a process in another network namespace, which ends with this value.
pub(crate) struct Outside(Child);

// === impl Outside ===

impl Outside {
    /// Makes this namespace a pod, on a cable to another one.
    pub(crate) fn beside_this_pod() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", "echo ready; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let outside = Self(child);
        run("ip", &["link", "set", "lo", "up"]);
        outside.cable("pod0", "client0");
        run("ip", &["addr", "add", &format!("{POD}/24"), "dev", "pod0"]);
        run("ip", &["-6", "addr", "add", &format!("{POD_V6}/64"), "dev", "pod0", "nodad"]);
        run("ip", &["route", "add", "default", "via", CLIENT]);
        run("ip", &["-6", "route", "add", "default", "via", CLIENT_V6]);
        outside.run("ip", &["link", "set", "lo", "up"]);
        outside.run("ip", &["addr", "add", &format!("{CLIENT}/24"), "dev", "client0"]);
        outside.run("ip", &["-6", "addr", "add", &format!("{CLIENT_V6}/64"), "dev", "client0", "nodad"]);
        outside.run("ip", &["addr", "add", &format!("{SERVICE}/32"), "dev", "lo"]);
        outside.run("ip", &["-6", "addr", "add", &format!("{SERVICE_V6}/128"), "dev", "lo", "nodad"]);
        outside
    }

    /// A further cable: `here` in the pod, `there` outside.
    pub(crate) fn cable(&self, here: &str, there: &str) {
        run("ip", &["link", "add", here, "type", "veth", "peer", "name", there, "netns", &self.0.id().to_string()]);
        run("ip", &["link", "set", here, "up"]);
        self.run("ip", &["link", "set", there, "up"]);
    }

    pub(crate) fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    /// Does something outside.
    fn inside<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.namespace()).unwrap();
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
                task()
            });
            worker.join().unwrap()
        })
    }

    /// What answers who says something from outside.
    pub(crate) fn say(&self, host: &str, port: u16, text: &str) -> Option<String> {
        self.inside(|| say(host, port, text))
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let namespace = format!("--net={}", self.namespace().display());
        run("nsenter", &[&[namespace.as_str(), "--", program], arguments].concat());
    }

    /// What answers a call from outside.
    pub(crate) fn call(&self, host: &str, port: u16) -> Option<String> {
        self.inside(|| dial(host, port))
    }

    /// Answers on a port outside.
    pub(crate) fn answer(&self, port: u16) {
        let listener = self.inside(|| any(port));
        answer(listener, |_, _| OUTSIDE.to_owned());
    }

    /// The same for who says something first.
    pub(crate) fn answer_when_spoken_to(&self, port: u16) {
        let listener = self.inside(|| any(port));
        answer_when_spoken_to(listener, |_| OUTSIDE.to_owned());
    }

    /// A socket outside for datagrams.
    pub(crate) fn socket(&self, host: &str, port: u16) -> UdpSocket {
        self.inside(|| UdpSocket::bind((host, port)).unwrap())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // Its standard input ends, and so does it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn any(port: u16) -> TcpListener {
    TcpListener::bind(SocketAddr::from(([0u16; 8], port))).unwrap()
}

/// Answers each connection on `port` with the port's number.
pub(crate) fn answer_with_port(port: u16) {
    answer(any(port), move |_, _| port.to_string());
}

/// Answers each connection with what is made of its two addresses, the listener's and the caller's.
pub(crate) fn answer(listener: TcpListener, text: impl Fn(IpAddr, SocketAddr) -> String + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { continue };
            let _ = write!(stream, "{}", text(peer.ip().to_canonical(), local));
        }
    });
}

/// Answers each connection that says something with what is made of the caller's address.
pub(crate) fn answer_when_spoken_to(listener: TcpListener, text: impl Fn(IpAddr) -> String + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Ok(peer) = stream.peer_addr() else { continue };
            let mut said = [0; 64];
            if stream.read(&mut said).is_ok_and(|length| length > 0) {
                let _ = write!(stream, "{}", text(peer.ip().to_canonical()));
            }
        }
    });
}

/// What answers when a process of that user and group connects; `None` for nobody.
pub(crate) fn call_as(user: u32, group: u32, host: &str, port: u16) -> Option<String> {
    as_user(user, group, || dial(host, port))
}

/// Does something on a thread whose sockets are that user's.
pub(crate) fn as_user<T: Send>(user: u32, group: u32, task: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // The kernel keeps these two for each thread, and sockets are whose these say.
            setfsgid(Gid::from_raw(group));
            setfsuid(Uid::from_raw(user));
            task()
        });
        worker.join().unwrap()
    })
}

fn dial(host: &str, port: u16) -> Option<String> {
    let address = SocketAddr::new(host.parse().unwrap(), port);
    read(&TcpStream::connect_timeout(&address, PATIENCE).ok()?)
}

/// What answers who says something and ends.
pub(crate) fn say(host: &str, port: u16, text: &str) -> Option<String> {
    let address = SocketAddr::new(host.parse().unwrap(), port);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    read(&stream)
}

pub(crate) fn read(mut stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Sends a datagram, and what is answered.
pub(crate) fn ask(socket: &UdpSocket, host: &str, port: u16) -> Option<String> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"?", SocketAddr::new(host.parse().unwrap(), port)).ok()?;
    let mut answer = [0; 64];
    let (length, from) = socket.recv_from(&mut answer).ok()?;
    // Who asked a server hears that server, whoever it was in truth.
    assert_eq!(from, SocketAddr::new(host.parse().unwrap(), port));
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Answers each datagram with that text.
pub(crate) fn answer_datagrams(socket: UdpSocket, text: &'static str) {
    thread::spawn(move || {
        let mut asked = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut asked) {
            let _ = socket.send_to(text.as_bytes(), peer);
        }
    });
}
