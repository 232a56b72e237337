//! One question over a Unix socket, as a request of HTTP.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    /// Nobody listens.
    Nobody(io::Error),
    /// Somebody listens, and it has not been done.
    Failed(String),
}

/// Longer than who is asked waits for anything himself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks and waits for the answer.
pub(crate) fn ask(socket: &Path, question: &str) -> Answer {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Answer::Nobody(error),
        Err(error) => return Answer::Failed(format!("{}: {error}", socket.display())),
    };
    match exchange(stream, question) {
        Err(error) => Answer::Failed(format!("no answer at {}: {error}", socket.display())),
        Ok(text) => {
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            match text.split(' ').nth(1) {
                Some("200") => Answer::Done,
                Some(_) if !body.is_empty() => Answer::Failed(body.to_owned()),
                _ => Answer::Failed(format!("an answer at {} that is not understood", socket.display())),
            }
        }
    }
}

fn exchange(mut stream: UnixStream, question: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = question.len();
    let head = "POST /networks HTTP/1.1\r\nhost: cni\r\nconnection: close\r\ncontent-type: application/json";
    // As one piece: who answers may do so without having read to the end.
    stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{question}").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
