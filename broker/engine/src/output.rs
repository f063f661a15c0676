//! What a session wants done.

use std::fmt;

use bytes::Bytes;
use parlance_mqtt::{
    Auth, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Unsubscribe, UserProperties,
};

use crate::Domain;

/// Stands for one publish of the client until its outcome is known. Belongs to one session object:
/// an outcome that comes after the connection ended is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// Of a QoS 0 publish.
    pub(crate) const NONE: Self = Self(0);

    /// Whether an outcome is waited for. False for QoS 0: `publish_done` may be called, and does nothing.
    pub const fn needs_answer(self) -> bool {
        self.0 != 0
    }
}

/// How a publish of the client ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Reason code of the PUBACK or PUBREC. 3.1.1 clients get a plain one whatever it says: there a QoS 2 publish
    /// that was refused takes its course as one that was accepted.
    pub reason: ReasonCode,
    /// For people (5).
    pub reason_string: Option<Bytes>,
    /// For programs (5): `seq`, time.
    pub user_properties: UserProperties,
}

impl PublishOutcome {
    /// Accepted, nothing to add.
    pub const fn success() -> Self {
        Self::with(ReasonCode::Success)
    }

    /// This reason, nothing to add.
    pub const fn with(reason: ReasonCode) -> Self {
        Self { reason, reason_string: None, user_properties: Vec::new() }
    }
}

/// What became of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteFate {
    /// It will be sent.
    Queued,
    /// The queue is full, or the session is closed: it was not taken.
    Dropped,
}

/// What to do with the will when the session closes (MQTT-3.1.2-8, MQTT-3.1.2-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WillFate {
    /// Publish it (after its delay).
    Publish,
    /// The client said a normal goodbye: forget it.
    Discard,
}

/// One effect. The connection carries them out in the order they come.
pub enum Output<D: Domain> {
    /// Encode and write.
    Send(Packet),
    /// Encode a message for a channel and write. If the packet would be larger than the client accepts, do
    /// not write it and call [`Session::undeliverable`](crate::Session::undeliverable).
    Deliver {
        /// The message.
        message: D::Message,
        /// Its conversation.
        conversation: D::Conversation,
        /// Its position.
        seq: u64,
        /// The channel that wants it.
        channel: u8,
        /// QoS of the packet.
        qos: QoS,
        /// `Some` exactly when `qos` is 1 or 2.
        packet_id: Option<PacketId>,
        /// Sent before, or maybe, on another connection of this session.
        dup: bool,
    },
    /// Encode a note and write; too large: as for `Deliver`.
    Note {
        /// The note.
        note: D::Note,
        /// QoS of the packet.
        qos: QoS,
        /// `Some` exactly when `qos` is 1 or 2.
        packet_id: Option<PacketId>,
        /// Sent before, or maybe, on another connection of this session.
        dup: bool,
    },
    /// The client published. Answer with [`Session::publish_done`](crate::Session::publish_done) when the
    /// outcome is durable, if [`Ticket::needs_answer`]. `topic` is always `Some`. A QoS 2 publish comes once for
    /// its packet id, until the client releases it. The exception: one that was undecided when its connection ended
    /// comes again on the next. The server must know by the packet id whether it was stored meanwhile, and answer
    /// with success then.
    Publish {
        /// Names the publish in the answer.
        ticket: Ticket,
        /// The publish.
        publish: Publish,
    },
    /// The client has released a QoS 2 publish (PUBREL) of a durable session: when the server has durably forgotten
    /// the packet id, answer with [`Session::completed`](crate::Session::completed). It may be asked again after a
    /// resume: what is forgotten already is an answer too.
    Complete {
        /// Which publish.
        packet_id: PacketId,
    },
    /// The client has a QoS 2 message (PUBREC): when it is durable that it must not be sent again, answer with
    /// [`Session::released`](crate::Session::released). It may be asked again after a resume.
    Release {
        /// Its conversation.
        conversation: D::Conversation,
        /// Its position.
        seq: u64,
        /// The packet that carried it.
        packet_id: PacketId,
    },
    /// The client authenticates anew, by the method agreed on at CONNECT. Answer with
    /// [`Session::authenticated`](crate::Session::authenticated).
    Authenticate(Auth),
    /// Answer with [`Session::subscribe_done`](crate::Session::subscribe_done).
    Subscribe(Subscribe),
    /// Answer with [`Session::unsubscribe_done`](crate::Session::unsubscribe_done).
    Unsubscribe(Unsubscribe),
    /// Read the log from `after` (exclusive), at most `limit` records, and answer with
    /// [`Session::page`](crate::Session::page). The answer must see what was announced before this output.
    ReadLog {
        /// Which conversation.
        conversation: D::Conversation,
        /// Exclusive start.
        after: u64,
        /// Records at most.
        limit: usize,
    },
    /// Read these messages, whose PUBLISH was in flight when the connection ended, and answer with
    /// [`Session::restored`](crate::Session::restored) in the same order. At most once, after a resume.
    Restore(Vec<(D::Conversation, u64)>),
    /// The device has everything up to `seq`. At most one for a conversation in a poll round. After a resume it
    /// may be of a conversation that the user left meanwhile (its packets were given up): ignore it then.
    Delivered {
        /// Which conversation.
        conversation: D::Conversation,
        /// Contiguous position, never lower than reported before.
        seq: u64,
    },
    /// Live messages were missed: call [`Session::track`](crate::Session::track) with the head of each
    /// conversation of the user.
    Resync,
    /// The end: write what is pending, then DISCONNECT if `reason` is given, then close the socket.
    Close {
        /// Reason for a DISCONNECT. `None`: none is to be sent (the client said goodbye, or speaks 3.1.1).
        reason: Option<ReasonCode>,
        /// For people.
        reason_string: Option<Bytes>,
        /// What becomes of the will.
        will: WillFate,
        /// How long the session is kept from now, seconds; 0 = not at all, `u32::MAX` = for ever.
        session_expiry_s: u32,
    },
}

/// Positions and kinds only: contents are not printed.
impl<D: Domain> fmt::Debug for Output<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(packet) => f.debug_tuple("Send").field(packet).finish(),
            Self::Deliver { conversation, seq, channel, qos, packet_id, dup, .. } => {
                write!(f, "Deliver({conversation:?}/{seq} channel {channel} {qos:?} {packet_id:?} dup {dup})")
            }
            Self::Note { qos, packet_id, dup, .. } => write!(f, "Note({qos:?} {packet_id:?} dup {dup})"),
            Self::Publish { ticket, publish } => {
                write!(f, "Publish({ticket:?} {:?} {:?})", publish.qos, publish.packet_id)
            }
            Self::Complete { packet_id } => write!(f, "Complete({packet_id})"),
            Self::Release { conversation, seq, packet_id } => {
                write!(f, "Release({conversation:?}/{seq} {packet_id})")
            }
            Self::Authenticate(_) => f.write_str("Authenticate"),
            Self::Subscribe(subscribe) => write!(f, "Subscribe({})", subscribe.packet_id),
            Self::Unsubscribe(unsubscribe) => write!(f, "Unsubscribe({})", unsubscribe.packet_id),
            Self::ReadLog { conversation, after, limit } => {
                write!(f, "ReadLog({conversation:?} after {after} limit {limit})")
            }
            Self::Restore(wanted) => f.debug_tuple("Restore").field(wanted).finish(),
            Self::Delivered { conversation, seq } => write!(f, "Delivered({conversation:?}/{seq})"),
            Self::Resync => f.write_str("Resync"),
            Self::Close { reason, will, session_expiry_s, .. } => {
                write!(f, "Close({reason:?} will {will:?} expiry {session_expiry_s} s)")
            }
        }
    }
}
