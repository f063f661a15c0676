//! The Rust client of Parlance, over MQTT 5 (rumqttc underneath).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use parlance_client::{Client, Event, Options};
//!
//! let options = Options::new("mqtt://127.0.0.1:1883", "alice", "correct horse", "laptop");
//! let (client, mut events) = Client::connect(options).await?;
//! let sent = client.send("@bob".parse()?, "hello").await?;
//! println!("stored as number {} of {}", sent.seq, sent.conversation);
//! while let Some(event) = events.next().await {
//!     if let Event::Message { message, mine: false } = event {
//!         println!("@{}: {}", message.sender_handle, message.text);
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Contract
//! * A [`send`](Client::send) resolves once: when the broker stored the message, refused it, or when it is certain
//!   that nothing more will be tried. A lost connection in between is no error: the message is sent again under
//!   the same message id, which the broker recognises.
//! * A message counts as delivered when the application takes it from [`Events`], not when it arrived. What was
//!   not taken comes again after a lost connection.
//! * Within a run no message is handed out twice, whatever the broker repeats
//!   (the newest [`limits::SEEN_MAX`] are remembered).
//! * Reconnecting is the client's work; what no reconnecting can mend (wrong password, account closed, device
//!   taken over) ends the stream with the error.
//! * Everything is bounded, see [`limits`]. Nothing is durable here yet: what was not acknowledged when the
//!   program ends is gone.

mod address;
mod client;
mod connection;
mod conversation;
mod core;
mod error;
mod event;
mod history;
mod inbox;
pub mod limits;
mod options;
mod pending;
mod reconnect;
mod rpc;
mod tls;
mod wire;

pub use client::{Client, Sent};
pub use conversation::{Content, Target, TargetError};
pub use error::{
    AddressError, CloseError, ConnectError, Failure, ReadError, Refusal, RpcError, SendError, TlsError,
};
pub use event::{Event, Events};
pub use history::History;
pub use options::Options;
pub use parlance_schema::{ConversationId, Handle, UserId, api, pb};
