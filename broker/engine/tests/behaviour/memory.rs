//! What an idle session weighs. A server holds hundreds of thousands of them.

use std::mem::size_of;

use parlance_engine::Parked;

use crate::support::*;

#[test]
fn an_idle_session_is_small() {
    let (session, parked) = (size_of::<TestSession>(), size_of::<Parked<Numbers>>());
    println!("a session has {session} bytes, a parked one {parked}");
    assert!(session <= 456, "{session} bytes");
    assert!(parked <= 48, "{parked} bytes");
}
