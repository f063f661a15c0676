//! Many: messages that wait for many devices, members of a group, publishes at once; and one that is slow.
//!
//! Figures are printed (`--nocapture`), and more comparable when the tests run one after the other
//! (`--test-threads=1`). What is asserted are properties: order, completeness, bounds of memory. Times are not.

mod large_group;
mod memory;
mod offline;
mod pipelining;
mod publisher;
mod shutdown;
mod slow_reader;
mod wire;

use std::{future::Future, time::Duration};

/// Longest wait for anything: generous, since these tests fill the machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// What a future becomes, at most after [`DEADLINE`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
