//! Target `session`: the state machine of one client's session, over many connections and restarts of the server.
//!
//! Input: the terms of the session, then steps: what the client sends, what the server answers, and when. The server
//! around it is modelled, with a log, a store and lost memory; so is a client that follows the specification. With the
//! choice "hostile" the client sends anything besides. What must hold:
//! * no step makes the session panic, and after `Close` nothing comes out of it;
//! * no packet id stands for two packets at once (MQTT-2.2.1-4), and no more are under way than the window allows
//!   (MQTT-3.3.4-7, MQTT-3.3.4-9);
//! * PUBACK and PUBREC leave in the order of the publishes, PUBREL in the order of the PUBRECs (MQTT-4.6.0-2 to -4),
//!   each once for what asked for it;
//! * a QoS 2 publish of the client comes out once until it is released (MQTT-4.3.3-10), and the client gets a QoS 2
//!   message once, over any number of connections and restarts;
//! * an alias means the topic that it was set to, on its connection only (MQTT-3.3.2-7);
//! * messages and notes held are bounded by the terms, whatever comes;
//! * a good client is never closed for an error, gets everything in order, and at the end nothing is held for it.

mod client;
mod end;
mod outputs;
mod raw;
mod setup;
mod world;

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};

use self::setup::Setup;
use self::world::World;

/// Steps taken of one input.
const STEPS_MAX: usize = 400;

/// One step. Numbers that say which of several are taken modulo what there is.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A message is committed, and announced unless it is lost on the way.
    Commit {
        conversation: u8,
        channels: u8,
        lost: bool,
    },
    /// A message in the log expires.
    Expire {
        conversation: u8,
        which: u8,
    },
    PublishDone {
        which: u8,
        refused: bool,
    },
    RequestDone {
        which: u8,
    },
    Completed {
        which: u8,
    },
    Released {
        which: u8,
    },
    Authenticated {
        fails: bool,
    },
    Page {
        which: u8,
        cut: u8,
        fails: bool,
    },
    Restored {
        without: u8,
    },
    Note {
        qos: u8,
    },
    /// The next packet is larger than the client takes.
    TooLarge,
    Takeover,
    Forget,
    SaveCursors,
    Track {
        conversation: u8,
        on: bool,
    },
    Publish {
        qos: u8,
        alias: u8,
    },
    Receive {
        count: u8,
    },
    Send {
        count: u8,
    },
    Request {
        subscribe: bool,
    },
    Ping,
    Disconnect,
    Authenticate,
    /// The connection breaks, and the client comes back.
    Reconnect,
    /// So, and the server forgot what it did not store.
    Restart,
    Wait {
        tenths: u8,
    },
    /// Anything a client can say, and should not.
    Raw {
        kind: u8,
        id: u8,
        flags: u8,
    },
}

/// To understand what was found: with the variable `FUZZ_TRACE` set, steps and outputs are shown.
pub(crate) static TRACE: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_TRACE").is_some());

/// See the module.
pub fn check(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(setup) = Setup::arbitrary(&mut input) else { return };
    if *TRACE {
        eprintln!("hostile {} exact {} {:?}", setup.hostile, setup.exact_everywhere, setup.config);
    }
    let mut world = World::new(setup);
    for _ in 0..STEPS_MAX {
        let Ok((polled, step)) = <(bool, Step)>::arbitrary(&mut input) else { break };
        if *TRACE {
            eprintln!("{step:?}");
        }
        world.take(step);
        if polled {
            world.pump();
        }
        if input.is_empty() {
            break;
        }
    }
    world.pump();
    world.end();
}
