//! Parlance's state machines: a client's session, its in-flight window, what its device is still owed of
//! each conversation, and the rules of a conversation itself.
//!
//! # The single-mutation contract
//! * No IO, no clock, no async, no thread, no randomness that shows: what goes in decides what comes out.
//!   Time is an argument ([`Millis`], monotonic). A session is tested without a socket.
//! * An input (`handle_packet`, `handle_timeout`, `announce`, `page`, `publish_done` …) changes state and
//!   does nothing else. Effects come out of [`Session::poll_output`], one at a time.
//! * Give one or several inputs (for example all packets of one read), then call `poll_output` until it
//!   answers `None`: that is one *poll round*. Until the round is finished nothing else is guaranteed to
//!   have happened. Between rounds the session holds no effect back, except what the send window,
//!   a missing answer (`page`, `restored`, `publish_done`) or the clock holds back.
//! * [`Output::Close`] is the last output of a session. Afterwards inputs are ignored and `park` is what is left.
//! * What a session holds is bounded by [`SessionConfig`]: an overflow forgets what can be read again from
//!   the log (messages) or says that it dropped (notes). A message is never lost by forgetting it here,
//!   because the cursor moves only over what was acknowledged.
//! * QoS 2 is exactly once in both directions for as long as the client keeps its session (MQTT-4.3.3), over lost
//!   connections and, for a durable session ([`SessionConfig::durable`]), over the loss of this memory: each step that
//!   must not be forgotten is an effect whose answer the next packet waits for. In: [`Output::Publish`] before PUBREC,
//!   [`Output::Complete`] before PUBCOMP. Out: [`Output::Release`] before PUBREL, [`Output::Delivered`] after
//!   PUBCOMP. What the server stored with them makes [`Parked::recovered`], and what may have gone out
//!   besides is said with [`Parked::maybe_sent`]. Packet ids of QoS 2 messages follow from their positions, so that they
//!   need not be stored.
//! * Between two connections a session is [`Parked`]. The server may drop it: then, for a durable session,
//!   [`Parked::recovered`] takes its place, and a session that begins without either begins anew (the client is told
//!   so: Session Present 0).
//! * No input makes this crate panic; bad packets close the session with the reason code of the clause.
//!
//! # Who does what
//! The session knows packets, packet ids and positions (`seq`); it does not know users, topics, formats or
//! rights. The server decides which *channel* (subscription) of the device wants a message, encodes it, and
//! answers reads. [`Conversation`] is used by the one thread that decides the order of a conversation.

mod alias;
mod catch_up;
mod channels;
mod config;
mod conversation;
mod domain;
mod fit;
mod handshake;
mod inflight;
mod keep_alive;
mod lazy;
mod levels;
mod output;
mod parked;
mod received;
mod restore;
mod retained;
mod roster;
mod session;
mod subscriptions;
mod time;
mod track;

pub use channels::Channels;
pub use config::SessionConfig;
pub use conversation::{
    AlreadyMember, Conversation, Cursor, Cursors, Known, Member, NotMember, Refusal, Role, Verdict,
};
pub use domain::{Domain, Entry};
pub use handshake::{HandshakeLimits, Plan, connack, negotiate};
pub use levels::LEVELS_MAX;
pub use output::{NoteFate, Output, PublishOutcome, Ticket, WillFate};
pub use parked::{POSITIONS_PER_ID, Parked, Recovered};
pub use retained::Retained;
pub use session::{Counters, Session};
pub use subscriptions::{
    Availability, Found, Match, ShareStrategy, SharedMatch, SubscriptionIds, SubscriptionOptions,
    Subscriptions,
};
pub use time::Millis;
