//! The receive buffer of the device: so many bytes for a packet, and not one more.

use crate::PACKET_BYTES_MAX;
use rust_mqtt::buffer::BufferProvider;

/// What is left of the buffer for the packet that is being read.
#[derive(Debug)]
pub(crate) struct Budget(usize);

/// A packet did not fit.
#[derive(Debug)]
pub(crate) struct Exhausted;

impl Default for Budget {
    fn default() -> Self {
        Self(PACKET_BYTES_MAX as usize)
    }
}

impl Budget {
    /// The packet before was dealt with.
    pub(crate) fn refill(&mut self) {
        *self = Self::default();
    }
}

impl BufferProvider<'_> for Budget {
    type Buffer = Box<[u8]>;
    type ProvisionError = Exhausted;

    fn provide_buffer(&mut self, len: usize) -> Result<Box<[u8]>, Exhausted> {
        self.0 = self.0.checked_sub(len).ok_or(Exhausted)?;
        Ok(vec![0; len].into_boxed_slice())
    }
}
