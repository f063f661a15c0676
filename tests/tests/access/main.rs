//! Who may do what: a second user can neither read, nor subscribe, nor publish where it does not belong.
//!
//! What is tried stands in tables ([`rows`]), one line for each attempt, and is tried in every way in ([`way`]): MQTT
//! 3.1.1 and 5, over TCP, TLS and WebSocket, in every format; calls over HTTP as well. An attempt fails with the refusal
//! that its line names, and afterwards nothing has changed for those whom it was aimed at: nothing was stored, nobody's
//! position moved, nothing arrived ([`world::World::unchanged`]).

mod abuse;
mod attempts;
mod brute_force;
mod credentials;
mod devices;
mod eavesdropping;
mod operator;
mod past;
mod rows;
mod way;
mod wills;
mod world;
