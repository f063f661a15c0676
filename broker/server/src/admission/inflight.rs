//! Memory of what is on its way: read buffers, write buffers, and messages, each counted once however many wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes that are on their way, in all connections together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inflight(Arc<AtomicUsize>);

impl Inflight {
    /// Counts bytes until what is answered goes.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.add(bytes);
        Held { inflight: self.clone(), bytes }
    }

    /// Bytes now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes that are counted while this lives.
#[derive(Debug)]
pub(crate) struct Held {
    inflight: Inflight,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inflight.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_no_longer_counted() {
        let inflight = Inflight::default();
        let (one, two) = (inflight.hold(10), inflight.clone().hold(5));
        assert_eq!(inflight.bytes(), 15);
        drop(one);
        assert_eq!(inflight.bytes(), 5);
        drop(two);
        assert_eq!(inflight.bytes(), 0);
    }
}
