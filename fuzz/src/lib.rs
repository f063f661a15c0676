//! What the fuzz targets check. A target in `fuzz_targets/` only hands its bytes to the `check` of its module here.
//!
//! Every `check` takes any bytes at all and panics exactly when the code under test broke a promise. None of them
//! keeps anything from one call to the next, so that an input found by the fuzzer fails again by itself.

#![forbid(unsafe_code)]

pub mod filters;
pub mod memory;
pub mod packet;
pub mod session;
#[cfg(feature = "websocket")]
pub mod websocket;
