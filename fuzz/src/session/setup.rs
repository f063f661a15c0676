//! The terms of a session, small enough that limits are met.

use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use parlance_engine::{Channels, Domain, SessionConfig};
use parlance_mqtt::{QoS, Version};

pub(super) const CONVERSATIONS: usize = 2;
/// The conversation that stands for the queue of free topics.
pub(super) const QUEUE: usize = 1;
/// The authentication method of a session that has one.
pub(super) const METHOD: &[u8] = b"token";

/// What the engine carries: here numbers, and a mark by which the session's own can be counted.
pub(super) struct Chat;

#[derive(Clone)]
pub(super) struct Token {
    pub(super) number: u64,
    /// As many as there are tokens.
    pub(super) _alive: Rc<()>,
}

impl Domain for Chat {
    type Conversation = usize;
    type User = u8;
    type Message = Token;
    type Note = Token;
}

pub(super) struct Setup {
    pub(super) config: SessionConfig,
    pub(super) hostile: bool,
    /// QoS 2 outside of the queue too; then the server does not restart, for it has no rows for that.
    pub(super) exact_everywhere: bool,
    /// Where the conversations begin: 0, or just before packet ids begin anew.
    pub(super) bases: [u64; CONVERSATIONS],
}

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let hostile = bool::arbitrary(input)?;
        let version = if bool::arbitrary(input)? { Version::V5 } else { Version::V3 };
        let v5 = version == Version::V5;
        let mut upto = |max: u8| Ok(u16::from(u8::arbitrary(input)? % (max + 1)));
        let durable = !hostile || upto(1)? == 1;
        let session_expiry_s = if durable { 100 } else { 0 };
        let config = SessionConfig {
            version,
            send_window: 1 + upto(3)?,
            client_packet_max: (hostile && upto(3)? == 3).then_some(24),
            receive_maximum: 1 + upto(3)?,
            keep_alive_ms: u64::from(upto(1)?) * 10_000,
            session_expiry_s,
            session_expiry_s_max: 200,
            durable,
            topic_alias_maximum: if v5 { upto(2)? } else { 0 },
            client_topic_alias_maximum: if v5 { upto(2)? } else { 0 },
            authentication_method: (v5 && upto(1)? == 1).then(|| Bytes::from_static(METHOD)),
            problem_information: upto(1)? == 1,
            ready_messages_max: usize::from(1 + upto(7)?),
            ready_bytes_max: SessionConfig::READY_BYTES_MAX,
            notes_max: usize::from(upto(4)?),
            page_messages_max: usize::from(1 + upto(3)?),
            reads_in_flight_max: usize::from(1 + upto(1)?),
        };
        let bases = [0, 32_765, 65_534];
        Ok(Self {
            config,
            hostile,
            exact_everywhere: upto(1)? == 1,
            bases: [bases[usize::from(upto(2)?)], bases[usize::from(upto(2)?)]],
        })
    }
}

impl Setup {
    /// QoS of a channel: 0 to 2 are the messenger's, 3 and 4 the queue's.
    pub(super) fn qos(&self, channel: u8) -> QoS {
        match channel {
            0 | 3 => QoS::AtLeastOnce,
            4 => QoS::ExactlyOnce,
            2 if self.exact_everywhere => QoS::ExactlyOnce,
            2 => QoS::AtLeastOnce,
            _ => QoS::AtMostOnce,
        }
    }

    /// The channels that want a message; of the queue's always exactly one.
    pub(super) fn channels(&self, conversation: usize, bits: u8) -> Channels {
        if conversation == QUEUE { Channels::one(3 + bits % 2) } else { Channels::from_bits(bits & 7) }
    }
}
