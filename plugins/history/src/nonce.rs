//! Random nonces, fetched from the provider in bulk: 12 bytes cost it as much as 768, and twice as much as sealing.
//!
//! Nonces wait in memory, so a process that forked without an exec would use some twice. Nothing here forks.

use aws_lc_rs::{aead::NONCE_LEN, error::Unspecified, rand};

/// Nonces fetched at once.
const BATCH: usize = 64;

/// A supply of random nonces; each is given once.
pub(crate) struct Nonces {
    fetched: [[u8; NONCE_LEN]; BATCH],
    left: usize,
}

impl Nonces {
    pub(crate) const fn new() -> Self {
        Self { fetched: [[0; NONCE_LEN]; BATCH], left: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<[u8; NONCE_LEN], Unspecified> {
        if self.left == 0 {
            rand::fill(self.fetched.as_flattened_mut())?;
            self.left = BATCH;
        }
        self.left -= 1;
        Ok(self.fetched[self.left])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn none_is_given_twice() {
        let mut nonces = Nonces::new();
        let given: HashSet<_> = (0..BATCH * 10).map(|_| nonces.next().unwrap()).collect();
        assert_eq!(given.len(), BATCH * 10);
        assert!(!given.contains(&[0; NONCE_LEN]));
    }
}
