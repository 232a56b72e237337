//! Runs of resources as bytes, kept for the next proxy that is sent the same.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::wire::Form;
use crate::compile::Resource;

/// So many bytes are kept: what a mesh of some thousand services is to one scope of proxies. Those that come at once are sent the same
/// within a moment, and nothing is lost but time if it has to be made again.
const KEPT: usize = 8 * 1024 * 1024;

/// Chunks that were lately made. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedChunks(Arc<Mutex<Chunks>>);

#[derive(Debug, Default)]
struct Chunks {
    by_hash: HashMap<u64, Chunk, FixedState>,
    /// The oldest first.
    ages: VecDeque<u64>,
    size: usize,
}

#[derive(Debug)]
struct Chunk {
    form: Form,
    /// Held, so that no other resource can come to be at the same address.
    run: Vec<Arc<Resource>>,
    bytes: Bytes,
}

// === impl SharedChunks ===

impl SharedChunks {
    /// The bytes of a run; `encode` makes them if they are not kept.
    pub(super) fn of(&self, form: Form, run: &[Arc<Resource>], encode: impl FnOnce() -> Bytes) -> Bytes {
        let hash = hash_of(form, run);
        let mut chunks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chunks.by_hash.get(&hash) {
            Some(chunk) if chunk.is_of(form, run) => chunk.bytes.clone(),
            // Another run of the same hash keeps its place.
            Some(_) => encode(),
            None => {
                let bytes = encode();
                chunks.keep(hash, Chunk { form, run: run.to_vec(), bytes: bytes.clone() });
                bytes
            }
        }
    }
}

// === impl Chunks ===

impl Chunks {
    fn keep(&mut self, hash: u64, chunk: Chunk) {
        self.size += chunk.bytes.len();
        self.by_hash.insert(hash, chunk);
        self.ages.push_back(hash);
        while self.size > KEPT
            && let Some(oldest) = self.ages.pop_front()
        {
            self.size -= self.by_hash.remove(&oldest).map_or(0, |chunk| chunk.bytes.len());
        }
    }
}

// === impl Chunk ===

impl Chunk {
    fn is_of(&self, form: Form, run: &[Arc<Resource>]) -> bool {
        self.form == form && self.run.len() == run.len() && self.run.iter().zip(run).all(|(own, other)| Arc::ptr_eq(own, other))
    }
}

fn hash_of(form: Form, run: &[Arc<Resource>]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    form.hash(&mut hasher);
    run.iter().for_each(|resource| Arc::as_ptr(resource).hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::ResourceType;

    #[test]
    fn a_run_is_made_once_and_no_more_is_kept_than_is_allowed() {
        let shared = SharedChunks::default();
        let run = |name: &str| [Resource::of(ResourceType::Cluster, name, name, &[])];
        let (first, same_text) = (run("first"), run("first"));
        let bytes = |run: &[Arc<Resource>]| shared.of(Form::Delta, run, || vec![0; KEPT / 4].into());
        let made = bytes(&first);
        assert_eq!(bytes(&first).as_ptr(), made.as_ptr());
        assert_ne!(bytes(&same_text).as_ptr(), made.as_ptr());
        for name in 0..10 {
            bytes(&run(&name.to_string()));
            let chunks = shared.0.lock().unwrap();
            assert!(chunks.size <= KEPT && chunks.by_hash.len() == chunks.ages.len() && chunks.ages.len() <= 4);
        }
        assert_ne!(bytes(&first).as_ptr(), made.as_ptr(), "it was the oldest");
    }
}
