//! The Unix socket at which the plugin asks: a connection is one question, a line of JSON. With it comes the descriptor of the network
//! namespace that it is about, because where the runtime keeps those is the runtime's to say, and often out of reach of a container.

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    convert::Infallible,
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::plugin::{Answer, Network, Questions};
use crate::runtime::{Shutdown, UnixSocket};

/// How long the plugin may take to ask: it has the whole question at hand when it connects.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long questions that have been asked may take at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// Questions at a time; the others wait in the kernel's queue. A node makes some hundred pods at once at most.
const AT_ONCE: usize = 64;
/// Bytes of a question. Paths and pods' names are far shorter.
const LONGEST: usize = 64 << 10;

/// Has questions answered until shutdown, and then those that are under way.
///
/// # Errors
/// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
pub(super) async fn serve(socket: UnixSocket, questions: Questions, shutdown: Shutdown) -> Result<(), Infallible> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let next = async || (slots.clone().acquire_owned().await, socket.accept().await);
    let mut conversations = JoinSet::new();
    loop {
        let (slot, accepted) = tokio::select! {
            () = shutdown.requested() => break,
            Some(_) = conversations.join_next() => continue,
            next = next() => next,
        };
        match accepted {
            Ok(stream) => {
                let questions = questions.clone();
                conversations.spawn(async move {
                    converse(stream, &questions).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Mostly "too many open files": ends when conversations do, so it must not spin until then.
                tracing::warn!(%error, "can't accept a connection of the plugin");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Who comes now finds nobody.
    drop(socket);
    if timeout(DRAIN, async { while conversations.join_next().await.is_some() {} }).await.is_err() {
        tracing::info!("questions of the plugin are cut off");
    }
    Ok(())
}

async fn converse(mut stream: UnixStream, questions: &Questions) {
    let answer = match timeout(PATIENCE, receive(&stream)).await {
        Ok(Ok((network, namespace))) => questions.answer(network, namespace).await,
        Ok(Err(error)) => Answer::Failed(format!("the question is not understood: {error}")),
        Err(_) => Answer::Failed("the question has no end".to_owned()),
    };
    let text = serde_json::json!(answer).to_string() + "\n";
    // Who has gone does not wait for it.
    if let Err(error) = stream.write_all(text.as_bytes()).await {
        tracing::debug!(%error, "the plugin does not take its answer");
    }
}

/// Reads a question, and the network namespace that came with it.
async fn receive(stream: &UnixStream) -> io::Result<(Network, Option<File>)> {
    let (mut text, mut namespace) = (Vec::new(), None);
    while !text.ends_with(b"\n") {
        let mut piece = [0; 4096];
        let length = stream.async_io(Interest::READABLE, || receive_piece(stream, &mut piece, &mut namespace)).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend(&piece[..length]);
        if text.len() > LONGEST {
            return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
        }
    }
    Ok((serde_json::from_slice(&text)?, namespace))
}

/// Reads what is there, and keeps the descriptor that comes with it.
fn receive_piece(stream: &UnixStream, piece: &mut [u8], namespace: &mut Option<File>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(piece)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            *namespace = descriptors.map(File::from).last();
        }
    }
    Ok(received.bytes)
}
