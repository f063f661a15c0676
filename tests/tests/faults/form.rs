//! Short by default, long when it is asked for: `cargo xtask faults --long` sets `PARLANCE_FAULTS=long`.

use std::env;

/// The value of the short form, or of the long one.
pub(crate) fn form<T>(short: T, long: T) -> T {
    if env::var("PARLANCE_FAULTS").is_ok_and(|form| form == "long") { long } else { short }
}
