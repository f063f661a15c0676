//! What an idle session weighs. A server holds hundreds of thousands of them.

use std::mem::size_of;

use parlance_engine::Parked;

use crate::support::*;

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<TestSession>() <= 400, "{} bytes", size_of::<TestSession>());
    assert!(size_of::<Parked<Numbers>>() <= 40, "{} bytes", size_of::<Parked<Numbers>>());
}
