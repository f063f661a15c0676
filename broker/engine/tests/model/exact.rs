//! QoS 2 end to end: a client that keeps to MQTT-4.3.3, a server that stores what it is asked to, and everything
//! that goes wrong between and within them.
//!
//! Both sides publish with QoS 1 and 2. Connections break with packets on the way; sessions are taken over; the server
//! forgets sessions that nobody needs, or all its memory (cursors as old as their last save); storage answers late,
//! or to a connection that is gone. Checked:
//! * MQTT-4.3.3: each QoS 2 message reaches the other side once, in order; each QoS 1 message at least once;
//! * MQTT-2.2.1-4: no packet id is given while another message has it;
//! * MQTT-4.3.3-6: no PUBLISH after its PUBREL; and no PUBREL before the storage knows;
//! * MQTT-4.6.0-4: PUBRELs in the order of the PUBRECs;
//! * MQTT-3.3.4-7: the window;
//! * at the end nothing is left over on either side.

mod client;
mod server;

use proptest::prelude::*;
use proptest::test_runner::Config;

use self::server::Server;

/// One step. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// The client publishes.
    Publish {
        exact: bool,
    },
    /// The server has something for the client, this many positions after the last.
    Enqueue {
        exact: bool,
        gap: u64,
    },
    /// A new connection, taking over the old one.
    Connect,
    Break,
    /// The server drops what it holds of a session without a connection.
    Evict,
    /// The server loses its memory.
    Crash,
    SaveCursor,
    /// The storage does what it was asked to.
    Commit {
        count: usize,
    },
    /// Packets arrive.
    ToClient {
        count: usize,
    },
    ToServer {
        count: usize,
    },
    /// The client acknowledges a packet, most often the oldest.
    Acknowledge {
        which: usize,
    },
    AnswerRead {
        limit: usize,
        fails: bool,
    },
    AnswerRestore,
}

fn any_step() -> impl Strategy<Value = Step> {
    let exact = || proptest::bool::weighted(0.7);
    let gap = prop_oneof![20 => Just(1_u64), 4 => 2..5_u64, 1 => 32_766..32_770_u64];
    prop_oneof![
        10 => exact().prop_map(|exact| Step::Publish { exact }),
        10 => (exact(), gap).prop_map(|(exact, gap)| Step::Enqueue { exact, gap }),
        5 => Just(Step::Connect),
        1 => Just(Step::Break),
        1 => Just(Step::Evict),
        1 => Just(Step::Crash),
        2 => Just(Step::SaveCursor),
        12 => (1..4_usize).prop_map(|count| Step::Commit { count }),
        14 => (1..5_usize).prop_map(|count| Step::ToClient { count }),
        14 => (1..5_usize).prop_map(|count| Step::ToServer { count }),
        14 => prop_oneof![4 => Just(0), 1 => 0..4_usize].prop_map(|which| Step::Acknowledge { which }),
        6 => (1..4_usize, proptest::bool::weighted(0.1))
            .prop_map(|(limit, fails)| Step::AnswerRead { limit, fails }),
        6 => Just(Step::AnswerRestore),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 3_000, max_shrink_iters: 20_000, ..Config::default() })]

    #[test]
    fn qos_2_is_exactly_once_in_both_directions(
        v5: bool,
        window in 1..5_u16,
        steps in proptest::collection::vec(any_step(), 1..300),
    ) {
        let mut server = Server::new(v5, window);
        for step in steps {
            server.take(step);
        }
        server.settle();
    }
}

/// The model is only worth something if its runs get anywhere.
#[test]
fn a_plain_run_uses_every_step_of_qos_2() {
    let mut server = Server::new(true, 2);
    server.take(Step::Connect);
    for exact in [true, false, true] {
        server.take(Step::Publish { exact });
        server.take(Step::Enqueue { exact, gap: 1 });
    }
    server.settle();
    assert_eq!(server.seen(), ["Complete", "Deliver", "Publish", "Release"]);
}
