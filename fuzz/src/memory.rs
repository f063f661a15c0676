//! How much memory a piece of work takes.
//!
//! The resident size that the fuzzer watches sees a leak after an hour. This sees the one input that makes a decoder
//! reserve what a length field announced, at once, and says so in bytes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs `work` and returns, with its result, how many bytes it held at most beyond what was held before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}
