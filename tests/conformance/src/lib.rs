//! The MQTT conformance suite: tests for every normative statement of MQTT 3.1.1 and MQTT 5.0 that a server can
//! violate, against any server.
//!
//! # How it is built
//! * `manifest/v3.toml` and `manifest/v5.toml` name every statement of the two specifications. Each has the tests that
//!   prove it, or the reason why there is none. [`Manifest::load`] and the tests of this package fail when a statement
//!   has neither, or when manifest and tests disagree about who proves what.
//! * A test ([`Test`]) is one function for both versions where the rule is the same. It provokes a situation with a raw
//!   [`Client`] and judges the precise answer: packet, reason code, order, content, closing.
//! * [`run`] runs all tests of a [`Target`] beside each other and gives a [`Results`].
//!
//! # Rules
//! * A test uses client ids and topics of its own, so that the suite can run against a server that others use, and as
//!   often as one likes. It removes its sessions and retained messages.
//! * Every wait has an end. That *nothing* comes is believed after a PINGREQ was answered and a third of a second
//!   has passed.
//! * Where the specification allows several answers, each of them passes. What a server cannot do and says so
//!   (Maximum QoS, Retain Available, no Authentication Method) is *unsupported*, which is shown and is no failure.

mod client;
mod context;
mod manifest;
mod outcome;
mod registry;
mod report;
mod runner;
mod suite;
mod transport;
mod wire;

pub use client::{Client, PATIENCE};
pub use context::Target;
pub use manifest::{Coverage, Manifest, ManifestError, Statement, StatementId};
pub use outcome::{Failure, Outcome};
pub use registry::{Run, Runs, Test};
pub use report::{Column, Deviations, ReportError, insert, markdown, write};
pub use runner::{Options, Results, Verdict, run};
pub use suite::tests;
pub use transport::{Endpoint, Stream, Transport, Trust};
