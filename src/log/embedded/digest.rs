//! What stands for a key where millions of them are held in memory.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// 128 bits of a key. That any two of ten million keys have the same ones is less likely than 1 in
/// 10^24, and others would have them the next time: the seed is another for each [`Digests`].
pub(super) type Digest = [u64; 2];

/// Digests, mapped to something.
pub(super) type DigestMap<T> = HashMap<Digest, T, foldhash::fast::RandomState>;
/// Digests.
pub(super) type DigestSet = HashSet<Digest, foldhash::fast::RandomState>;

/// Makes digests that can be compared with each other.
pub(super) struct Digests {
    seed: u64,
}

impl Digests {
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(()) }
    }

    pub(super) fn of(&self, key: &[u8]) -> Digest {
        let digest = xxh3_128_with_seed(key, self.seed);
        [(digest >> 64) as u64, digest as u64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_its_key_and_its_seed() {
        let (one, other) = (Digests::new(), Digests::new());
        let keys: Vec<_> = (0..10_000).map(|number| format!("conversation {number}")).collect();
        let digests: Vec<_> = keys.iter().map(|key| one.of(key.as_bytes())).collect();
        for (key, digest) in keys.iter().zip(&digests) {
            assert_eq!(one.of(key.as_bytes()), *digest, "{key}");
            assert_ne!(other.of(key.as_bytes()), *digest, "{key} with another seed");
        }
        let halves: HashSet<_> = digests.iter().flatten().collect();
        assert_eq!(halves.len(), 2 * keys.len(), "each half says as much as it can");
    }
}
