//! Addresses that the mesh gives to hosts which declare none, so that an opaque connection tells by its address which host it is for.
//!
//! What a host gets follows from the claims that there are and from nothing else: every process that knows the same objects gives the
//! same addresses, and nobody has to write them down or to ask a leader. Each claim has a sequence of addresses that it asks for: those
//! that it was given before, then those that its host's hash leads to. An address goes to the senior of those that ask for it, and the
//! others ask for their next one. That has one outcome, whatever the order in which claims come.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use foldhash::fast::RandomState;

use crate::model::ServiceKey;

/// A host's claim to an address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    /// Seconds since the epoch at which its object was made: the oldest claim is the senior one.
    pub(super) created: i64,
    /// The addresses that the host was given before; those that are none of the mesh's don't count.
    pub(super) given: Vec<IpAddr>,
}

/// Who has which address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    claims: HashMap<ServiceKey, Asking, RandomState>,
    holders: HashMap<u16, ServiceKey, RandomState>,
    /// Claims that did not get the first address that they asked for. Few: there are many addresses.
    displaced: BTreeSet<ServiceKey>,
    /// Claims that ask.
    asking: BTreeSet<ServiceKey>,
    /// Hosts whose address may be another than before.
    changed: BTreeSet<ServiceKey>,
}

/// A claim, and how far it came in its sequence.
#[derive(Debug)]
struct Asking {
    claim: Claim,
    tries: usize,
}

/// The first two parts of every address: the range that the reference uses, 240.240.0.0/16, which nobody has on the Internet.
const RANGE: [u8; 2] = [240, 240];
/// The number of addresses in it, but for its first and last.
const SIZE: u16 = u16::MAX - 1;

// === impl Addresses ===

impl Addresses {
    /// Takes the claim of a host, or its absence.
    pub(super) fn set(&mut self, key: &ServiceKey, claim: Option<&Claim>) {
        if self.claims.get(key).map(|asking| &asking.claim) == claim {
            return;
        }
        self.changed.insert(key.clone());
        if self.claims.contains_key(key) {
            self.vacate(key);
            self.claims.remove(key);
            self.asking.remove(key);
            // What it had may be somebody else's first choice, who asks again from the start.
            for displaced in std::mem::take(&mut self.displaced).into_iter().filter(|other| other != key) {
                self.vacate(&displaced);
                self.changed.insert(displaced.clone());
                self.asking.insert(displaced);
            }
        }
        if let Some(claim) = claim {
            self.claims.insert(key.clone(), Asking { claim: claim.clone(), tries: 0 });
            self.asking.insert(key.clone());
        }
    }

    /// Takes a host's address from it, and puts it to the start of its sequence.
    fn vacate(&mut self, key: &ServiceKey) {
        let Some(asking) = self.claims.get_mut(key) else { return };
        let place = place(key, &asking.claim, std::mem::take(&mut asking.tries));
        if self.holders.get(&place) == Some(key) {
            self.holders.remove(&place);
        }
    }

    /// Lets all get theirs. Returns the hosts whose address may be another than before.
    pub(super) fn settle(&mut self) -> BTreeSet<ServiceKey> {
        while let Some(key) = self.asking.pop_first() {
            let Some(asking) = self.claims.get(&key) else { continue };
            if asking.tries > usize::from(SIZE) + asking.claim.given.len() {
                // Nothing is left: the host does without.
                continue;
            }
            let place = place(&key, &asking.claim, asking.tries);
            let refused = match self.holders.get(&place) {
                Some(holder) if self.is_senior(holder, &key) => key,
                _ => match self.holders.insert(place, key) {
                    Some(junior) => junior,
                    None => continue,
                },
            };
            if let Some(asking) = self.claims.get_mut(&refused) {
                asking.tries += 1;
            }
            self.displaced.insert(refused.clone());
            self.changed.insert(refused.clone());
            self.asking.insert(refused);
        }
        std::mem::take(&mut self.changed)
    }

    fn is_senior(&self, one: &ServiceKey, other: &ServiceKey) -> bool {
        let seniority = |key: &ServiceKey| self.claims.get(key).map(|asking| asking.claim.created);
        (seniority(one), one) < (seniority(other), other)
    }

    /// The address of a host, if it has one.
    pub(super) fn of(&self, key: &ServiceKey) -> Option<IpAddr> {
        let asking = self.claims.get(key)?;
        let place = place(key, &asking.claim, asking.tries);
        let [high, low] = place.to_be_bytes();
        (self.holders.get(&place) == Some(key)).then(|| Ipv4Addr::new(RANGE[0], RANGE[1], high, low).into())
    }
}

/// The place in the range that a claim asks for after so many others.
fn place(key: &ServiceKey, claim: &Claim, tries: usize) -> u16 {
    if let Some(place) = claim.given.iter().filter_map(within).nth(tries) {
        return place;
    }
    let tries = u64::try_from(tries).unwrap_or(u64::MAX);
    let place = hash(key).wrapping_add(tries) % u64::from(SIZE);
    u16::try_from(place).unwrap_or(0) + 1
}

/// The place of an address that is one of the range's.
fn within(address: &IpAddr) -> Option<u16> {
    let IpAddr::V4(address) = address else { return None };
    let [first, second, high, low] = address.octets();
    let place = u16::from_be_bytes([high, low]);
    ([first, second] == RANGE && (1..=SIZE).contains(&place)).then_some(place)
}

/// FNV-1a: the same in every process and release, so that addresses outlive both.
fn hash(key: &ServiceKey) -> u64 {
    let text = key.namespace.bytes().chain([b'/']).chain(key.host.as_str().bytes());
    text.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::HostPattern;

    fn key(number: usize) -> ServiceKey {
        ServiceKey { host: HostPattern::new(&format!("h{number}.example")), namespace: "shop".into() }
    }

    fn claim(created: i64, given: &[&str]) -> Claim {
        Claim { created, given: given.iter().map(|address| address.parse().unwrap()).collect() }
    }

    fn settled(claims: &[(usize, Claim)]) -> Addresses {
        let mut addresses = Addresses::default();
        for (number, claim) in claims {
            addresses.set(&key(*number), Some(claim));
        }
        addresses.settle();
        addresses
    }

    #[test]
    fn a_host_keeps_its_address_from_process_to_process() {
        let addresses = settled(&[(1, claim(1, &[]))]);
        assert_eq!(addresses.of(&key(1)).unwrap().to_string(), "240.240.7.28");
    }

    #[test]
    fn a_host_gets_what_it_had_unless_a_senior_one_had_it_too() {
        let had = ["10.0.0.1", "240.240.0.7"];
        let mut addresses = settled(&[(1, claim(2, &had)), (2, claim(1, &had))]);
        assert_eq!(addresses.of(&key(2)).unwrap().to_string(), "240.240.0.7");
        assert_ne!(addresses.of(&key(1)).unwrap().to_string(), "240.240.0.7");
        addresses.set(&key(2), None);
        assert_eq!(addresses.settle(), [key(1), key(2)].into());
        assert_eq!(addresses.of(&key(1)).unwrap().to_string(), "240.240.0.7");
        assert_eq!(addresses.of(&key(2)), None);
    }

    /// Few places to ask for, so that many ask for the same.
    fn any_claim() -> impl Strategy<Value = Claim> {
        (0..3_i64, prop::collection::vec(1..6_u8, 0..4)).prop_map(|(created, given)| Claim {
            created,
            given: given.into_iter().map(|last| Ipv4Addr::new(240, 240, 0, last).into()).collect(),
        })
    }

    proptest! {
        #[test]
        fn what_hosts_get_follows_from_the_claims_alone(
            history in prop::collection::vec((0..8_usize, prop::option::of(any_claim()), any::<bool>()), 1..40),
        ) {
            let mut addresses = Addresses::default();
            let mut last = HashMap::<usize, Claim>::new();
            let mut known = HashMap::<ServiceKey, Option<IpAddr>>::new();
            for (number, claim, settles) in history {
                addresses.set(&key(number), claim.as_ref());
                match claim {
                    Some(claim) => _ = last.insert(number, claim),
                    None => _ = last.remove(&number),
                }
                if settles {
                    for key in addresses.settle() {
                        known.insert(key.clone(), addresses.of(&key));
                    }
                }
            }
            for key in addresses.settle() {
                known.insert(key.clone(), addresses.of(&key));
            }
            let fresh = settled(&last.into_iter().collect::<Vec<_>>());
            for number in 0..8 {
                prop_assert_eq!(addresses.of(&key(number)), fresh.of(&key(number)));
                // Whoever follows what is said to have changed knows the same.
                prop_assert_eq!(known.get(&key(number)).copied().flatten(), fresh.of(&key(number)));
            }
        }
    }
}
