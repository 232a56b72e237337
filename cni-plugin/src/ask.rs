//! One question over a Unix socket: a line of JSON, with which the descriptor of the pod's network namespace travels; the answer is another.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{fd::AsFd, unix::net::UnixStream},
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

/// Asks about a network namespace, and waits for the answer. Who is asked may not be able to open the namespace's file: the runtime has it
/// where it likes, perhaps in a folder of its own. Whoever has the descriptor need not open it.
pub(crate) fn ask(socket: &Path, question: &Value, namespace: Option<&File>) -> Answer {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Answer::Nobody(error),
        Err(error) => return Answer::Failed(format!("{}: {error}", socket.display())),
    };
    let text = match exchange(stream, &format!("{question}\n"), namespace) {
        Ok(text) => text,
        Err(error) => return Answer::Failed(format!("no answer at {}: {error}", socket.display())),
    };
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    match &answer["failed"] {
        Value::Null if answer == "done" => Answer::Done,
        Value::String(reason) => Answer::Failed(reason.clone()),
        _ => Answer::Failed(format!("an answer at {} that is not understood: {text:?}", socket.display())),
    }
}

fn exchange(mut stream: UnixStream, question: &str, namespace: Option<&File>) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let sent = send_with(&stream, question.as_bytes(), namespace)?;
    stream.write_all(&question.as_bytes()[sent..])?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Sends the beginning of a text together with a descriptor, and says how much of it that was.
fn send_with(stream: &UnixStream, text: &[u8], file: Option<&File>) -> io::Result<usize> {
    let descriptors = file.map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors.as_slice())) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)?)
}
