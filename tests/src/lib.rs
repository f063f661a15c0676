//! The harness of the end-to-end tests: a server process, its HTTP calls, and MQTT devices on real sockets.
//!
//! # How a test is written
//! ```no_run
//! # use parlance_tests::{Device, Server};
//! # async fn example() {
//! let server = Server::start(Server::options()).await;
//! let (alice, bob) = (server.user("alice").await, server.user("bob").await);
//! let mut phone = Device::new("phone").connect(&server, &bob).await;
//! phone.subscribe("me/json/inbox/#").await;
//! let mut laptop = Device::new("laptop").v3().connect(&server, &alice).await;
//! laptop.publish("user/@bob/text", "hello").await;
//! assert_eq!(phone.next().await.json()["text"], "hello");
//! # }
//! ```
//!
//! # Rules
//! * A server has its own folder and ports, so tests run beside each other. It is killed when it is dropped.
//! * Nothing sleeps and hopes: a wait is for something, and ends with an error after [`PATIENCE`].
//! * What fails, panics: these are tests. When a test panics, what its server said is shown.
//! * Nothing is built here: the program is the one that `PARLANCE_BIN` names, else `parlance` of the same profile.

mod broker;
mod client;
mod device;
mod packets;
mod process;
mod quic;
mod server;
mod users;
mod wait;
mod websocket;

pub use broker::{Answer, Broker};
pub use client::{Client, Closed};
pub use device::{Device, Stream, Via, trusting};
pub use packets::{Acked, Delivery, Message, property};
pub use parlance_mqtt as mqtt;
pub use process::{Process, javascript, python};
pub use quic::{QuicStream, endpoint};
pub use server::{Engine, Options, Port, Server, program, resident_bytes};
pub use users::User;
pub use wait::{PATIENCE, eventually, in_time};
