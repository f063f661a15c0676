//! Every bound of the client, by name and with its unit.

use std::time::Duration;

/// Sends and requests that are under way or wait for a connection, all together. The next one waits for its turn.
pub const SENDS_MAX: usize = 1024;

/// Publishes without a PUBACK on the wire; fewer, when the broker's Receive Maximum is smaller.
pub const SENDS_IN_FLIGHT_MAX: usize = 128;

/// Messages from the broker that the application has not taken yet (Receive Maximum of CONNECT).
pub const RECEIVE_MAX: u16 = 256;

/// Events other than messages that wait for the application; past this the oldest are dropped.
pub const EVENTS_MAX: usize = 1024;

/// Positions remembered to recognise a message that the broker repeats.
pub const SEEN_MAX: usize = 8192;

/// Typing notices on their way to the socket; past this they are dropped.
pub const TYPING_MAX: usize = 32;

/// Greatest packet that the client accepts, bytes, unless [`Options`](crate::Options) say otherwise. rumqttc
/// alone would accept 10 KiB and close the connection on anything greater.
pub const PACKET_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// First pause before a new attempt to connect.
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// Longest pause before a new attempt to connect.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A connection that held this long starts the pauses from the shortest again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How long a send may take, reconnects included.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a request may take.
pub const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connecting may take, TLS and CONNACK included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long [`close`](crate::Client::close) waits for what is under way.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the DISCONNECT itself may take.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the broker keeps the session of a device that is away, seconds.
pub const SESSION_EXPIRY_S: u32 = 30 * 24 * 3600;

/// Time without traffic after which the connection is probed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Packet ids that rumqttc hands out. It keeps a slot for each, and 65,535 of them cost 13 MB.
pub(crate) const PACKET_IDS: u16 = 2 * SENDS_IN_FLIGHT_MAX as u16;

/// Requests between the client and rumqttc: all that can be outstanding at once, so that none is ever refused.
pub(crate) const REQUESTS_MAX: usize = SENDS_IN_FLIGHT_MAX + 2 * RECEIVE_MAX as usize + TYPING_MAX + 8;
