//! The program as a pod runs it: configured by environment, logging to stdout, ended by SIGTERM.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Ended with the test, whatever becomes of it.
struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

// === impl Process ===

impl Process {
    fn start(env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bookinfo"));
        command.env_clear().envs(env.iter().copied()).env("BOOKINFO_PORT", "0").stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("a line").expect("read")).expect("JSON")
    }

    /// SIGTERM, as the kubelet sends it.
    fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill ran");
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails where the process has ended, which is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET on a connection that stays open, and reads the head of the answer.
fn get(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: ratings\r\nx-request-id: r1\r\n\r\n").expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

#[test]
fn service_of_the_environment_logs_requests_but_no_probes_and_drains_at_sigterm() {
    let mut process =
        Process::start(&[("BOOKINFO_SERVICE", "ratings"), ("BOOKINFO_VERSION", "v2"), ("MONGO_DB_URL", "mongodb://mongodb:27017/test")]);
    assert_eq!(process.line()["level"], "WARN", "a database that is not used is worth a warning");
    let listening = process.line();
    assert_eq!((&listening["service"], &listening["version"]), (&Value::from("ratings"), &Value::from("v2")));
    let port = u16::try_from(listening["port"].as_u64().expect("a number")).expect("a port");

    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("connected");
    assert!(get(&mut connect(), "/health").starts_with("HTTP/1.1 200"));
    let mut kept_alive = connect();
    assert!(get(&mut kept_alive, "/ratings/0").starts_with("HTTP/1.1 200"));
    let request = process.line();
    assert_eq!((&request["path"], &request["status"], &request["request_id"]), (&"/ratings/0".into(), &200.into(), &"r1".into()));

    // The connection that is open and idle does not hold the process.
    process.terminate();
    assert_eq!(process.line()["message"], "draining");
    assert!(process.child.wait().expect("ended").success());
}
