//! The engine against a simple model: users with several devices, conversations, and everything that goes wrong.
//!
//! A run is a list of steps drawn by proptest (so it shrinks, and its seed replays it): sends with ids, retries
//! and reused ids; acknowledgements partial, out of order or lost; lost connections, resumes, takeovers, clean
//! starts; members coming and going; outboxes that overflow; reads that fail or come late; records that expire;
//! servers that restart with stale cursors. The model knows only the log, who is a member since when, and what
//! each device got. Checked at each step (architecture §1):
//! * rule 2: an id has one seq, an exact retry gets it, another body is refused;
//! * rule 3: seq is dense; on one connection a channel gets a conversation in order and nothing twice;
//! * rule 5: no device is told past a message it has not; at the end each device has every message;
//! * rule 7: cursors never retreat, unread equals a recount;
//! * rule 8: nothing is handed out to who is not a member, or from before it joined;
//! * MQTT: window, packet ids not reused while in flight, DUP exactly for what was in flight, owed packets first.

mod device;
mod exact;
mod step;
mod world;

use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::world::World;

proptest! {
    #![proptest_config(Config { cases: 2_000, max_shrink_iters: 20_000, ..Config::default() })]

    #[test]
    fn every_device_gets_every_message_once_in_order(steps in proptest::collection::vec(step::any_step(), 1..250)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check_conversations();
        }
        world.settle();
    }
}
