//! From one connection to the next.

use std::collections::VecDeque;

use super::{Counters, Session};
use crate::catch_up::CatchUp;
use crate::inflight::{Earlier, Inflight, What};
use crate::keep_alive::KeepAlive;
use crate::lazy::Lazy;
use crate::parked::{ParkedExact, ParkedPacket, ParkedWhat};
use crate::received::Received;
use crate::restore::Restore;
use crate::{Channels, Domain, Millis, Parked, SessionConfig};
use parlance_mqtt::QoS;

impl<D: Domain> Session<D> {
    /// A session without a past.
    pub fn new(config: SessionConfig, now: Millis) -> Self {
        Self::with_window(config, now, Inflight::new())
    }

    /// Goes on where an earlier connection of the session ended: what was in flight is sent again first, PUBLISH or
    /// PUBREL, in the order in which it was sent and received.
    /// The server tracks the conversations of the user as for a new session, and may untrack those that the
    /// user left meanwhile: [`restored`](Self::restored) with `None` has the same effect packet by packet.
    pub fn resume(parked: Parked<D>, config: SessionConfig, now: Millis) -> Self {
        let Parked { next, sent, in_flight, notes, mut exact } = parked;
        let ParkedExact { received, maybe_sent } = exact.get_mut().map(std::mem::take).unwrap_or_default();
        let catch_up = resume_tracks(&in_flight, &config);
        let packets = in_flight.into_iter().map(|packet| {
            let ParkedPacket { packet_id, number, stage, qos, what } = packet;
            let what = match what {
                ParkedWhat::Nothing => What::Nothing,
                ParkedWhat::Note(note) => What::Note(note),
                ParkedWhat::Message { conversation, seq, channel, .. } => {
                    What::Message { conversation, seq, channel }
                }
            };
            Earlier { packet_id, number, stage, qos, what }
        });
        let mut session =
            Self::with_window(config, now, Inflight::resume(packets.collect(), next, sent, maybe_sent));
        session.catch_up = catch_up;
        session.restore = Restore::of(&session.inflight).map(Box::new);
        session.resumed = true;
        session.received = Received::resume(received.into_vec());
        session.notes = notes.into_iter().collect();
        session
    }

    fn with_window(config: SessionConfig, now: Millis, inflight: Inflight<D>) -> Self {
        Self {
            keep_alive: KeepAlive::new(config.keep_alive_ms, now),
            clock: now,
            retry_at: None,
            received: Received::new(),
            requests: 0,
            resumed: false,
            control: VecDeque::new(),
            inflight,
            restore: None,
            catch_up: CatchUp::new(&config),
            notes: VecDeque::new(),
            note_was_last: false,
            acknowledged: Channels::from_bits(u8::MAX),
            exactly_once: Channels::NONE,
            aliases: Lazy::new(),
            authenticating: false,
            resync: false,
            deaf: false,
            resting: false,
            ending: None,
            counters: Counters::default(),
            config,
        }
    }

    /// Takes the session off its connection. Finish the poll round first, or cursors that moved are told late
    /// (messages come twice).
    pub fn park(self) -> Parked<D> {
        let Self { mut inflight, catch_up, notes, received, .. } = self;
        inflight.settle_doubt(|conversation| catch_up.sent(conversation));
        let (next, sent, packets, maybe_sent) = inflight.into_parts();
        let in_flight = packets.into_iter().filter_map(|packet| {
            let Earlier { packet_id, number, stage, qos, what } = packet;
            let what = match what {
                What::Note(note) => ParkedWhat::Note(note),
                What::Message { conversation, seq, channel }
                    if catch_up.awaits(conversation, seq, channel) =>
                {
                    ParkedWhat::Message { conversation, seq, channel, sent: catch_up.sent(conversation) }
                }
                // The client of a QoS 2 packet may hold its id: it must be told to release it before another
                // message has it.
                _ if qos == QoS::ExactlyOnce => ParkedWhat::Nothing,
                _ => return None,
            };
            Some(ParkedPacket { packet_id, number, stage, qos, what })
        });
        Parked {
            next,
            sent,
            in_flight: in_flight.collect(),
            notes: notes.into_iter().filter(|(_, qos)| *qos != QoS::AtMostOnce).collect(),
            exact: ParkedExact { received: received.into_kept(), maybe_sent }.lazy(),
        }
    }
}

/// The conversations of packets in flight. Each takes its packets in the order of positions.
fn resume_tracks<D: Domain>(in_flight: &[ParkedPacket<D>], config: &SessionConfig) -> CatchUp<D> {
    let mut messages: Vec<_> = in_flight
        .iter()
        .filter_map(|packet| match packet.what {
            ParkedWhat::Message { conversation, seq, channel, sent } => {
                Some((seq, channel, conversation, sent))
            }
            ParkedWhat::Nothing | ParkedWhat::Note(_) => None,
        })
        .collect();
    messages.sort_unstable_by_key(|&(seq, channel, ..)| (seq, channel));
    let mut catch_up = CatchUp::new(config);
    for (seq, channel, conversation, sent) in messages {
        catch_up.resume(conversation, seq, channel, sent);
    }
    catch_up
}
