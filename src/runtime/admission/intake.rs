//! Bodies of reviews, taken in at a bounded cost.
//!
//! A body that is on its way holds nothing but memory in the measure of what has come, so a client that trickles keeps nobody waiting.
//! A turn to be answered is only for bodies that are there.

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The API server takes objects of up to 3 MiB, and an update carries the old one too.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;
/// What one permit of memory stands for.
const BLOCK: usize = 4096;
/// Blocks of all bodies together, the answered among them: 64 MiB. Each holds one from its beginning, for what the request itself takes.
const BLOCKS: usize = 64 * 1024 * 1024 / BLOCK;

/// Takes bodies in. Clones share the memory.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    memory: Arc<Semaphore>,
}

/// A body that is there. Its memory is given back with it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

// === impl Intake ===

impl Intake {
    pub(super) fn new() -> Self {
        Self { memory: Arc::new(Semaphore::new(BLOCKS)) }
    }

    /// Reads a body to its end. Waits while the memory of all bodies is taken; whoever calls it bounds the time.
    ///
    /// # Errors
    /// *Payload too large* for a body of more than 8 MiB; *bad request* for one that breaks off.
    pub(super) async fn take(&self, mut body: Body) -> Result<Taken, StatusCode> {
        let mut memory = self.room(1).await;
        let mut first = Bytes::new();
        let mut rest = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            length += data.len();
            if length > MAX_BODY {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            let blocks = 1 + length / BLOCK;
            if blocks > memory.num_permits() {
                memory.merge(self.room(blocks - memory.num_permits()).await);
            }
            // Most bodies come in one piece, which then is never copied.
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                rest.extend_from_slice(&data);
            }
        }
        Ok(Taken { bytes: if rest.is_empty() { first } else { rest.into() }, _memory: memory })
    }

    async fn room(&self, blocks: usize) -> OwnedSemaphorePermit {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        self.memory.clone().acquire_many_owned(blocks).await.expect("the semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    fn pieces(pieces: Vec<Vec<u8>>) -> Body {
        Body::from_stream(stream::iter(pieces.into_iter().map(|piece| Ok::<_, Infallible>(Bytes::from(piece)))))
    }

    #[tokio::test]
    async fn a_body_is_whole_in_however_many_pieces_it_comes_and_gives_its_memory_back() {
        let intake = Intake::new();
        for body in [vec![b"abcdef".to_vec()], vec![b"ab".to_vec(), b"c".to_vec(), b"def".to_vec()]] {
            let taken = intake.take(pieces(body)).await.unwrap();
            assert_eq!(&*taken.bytes, b"abcdef");
            assert_eq!(intake.memory.available_permits(), BLOCKS - 1);
        }
        let taken = intake.take(pieces(vec![vec![0; BLOCK]; 10])).await.unwrap();
        assert_eq!(intake.memory.available_permits(), BLOCKS - 11);
        drop(taken);
        assert_eq!(intake.memory.available_permits(), BLOCKS);
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_it_has_come() {
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![0; 1 << 20]))));
        assert_eq!(Intake::new().take(endless).await.unwrap_err(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
