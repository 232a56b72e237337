//! How many of a listener's connections one address may hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// One address gets a quarter of a listener's connections, so that no single pod can keep the others out, and never fewer than these.
const LEAST: usize = 64;

/// Who holds how many connections.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, for as long as this lives.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    address: IpAddr,
}

// === impl Shares ===

impl Shares {
    /// For a listener of so many connections.
    pub(super) fn of(connections: usize) -> Self {
        Self { most: LEAST.max(connections / 4), held: Arc::default() }
    }

    /// One more connection of that address; none if it has its share.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_quarter_and_gets_back_what_it_gives_up() {
        let shares = Shares::of(400);
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut taken: Vec<_> = (0..100).map(|_| shares.take(one).unwrap()).collect();
        assert!(shares.take(one).is_none());
        assert!(shares.take(other).is_some());
        taken.pop();
        assert!(shares.take(one).is_some());
        drop(taken);
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
