//! The script: what every client does.

mod basics;
mod five;
mod halfway;
mod sessions;

use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use parlance_mqtt::Version;

/// A step: one behaviour.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) versions: &'static [Version],
    pub(crate) run: for<'a> fn(Stage<'a>) -> LocalBoxFuture<'a, ()>,
}

const BOTH: &[Version] = &[Version::V3, Version::V5];
const FIVE: &[Version] = &[Version::V5];

macro_rules! steps {
    ($($versions:ident $name:literal: $run:path $(, $argument:expr)*;)*) => {
        /// In the order of the script.
        pub(crate) const ALL: &[Step] = &[$(
            Step { name: $name, versions: $versions, run: |stage| Box::pin($run(stage $(, $argument)*)) }
        ),*];
    };
}

use halfway::{Begun, End};
use parlance_mqtt::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

steps! {
    BOTH "QoS 0": basics::qos, AtMostOnce;
    BOTH "QoS 1": basics::qos, AtLeastOnce;
    BOTH "QoS 2": basics::qos, ExactlyOnce;
    BOTH "retained": basics::retained;
    BOTH "will when the connection is cut": basics::will;
    BOTH "no will after DISCONNECT": basics::no_will;
    BOTH "unsubscribe": basics::unsubscribe;
    BOTH "large payload, sent": basics::large_sent;
    BOTH "large payload, received": basics::large_received;
    BOTH "keep-alive": basics::keep_alive;
    BOTH "request and response": basics::request;
    BOTH "session": sessions::session;
    BOTH "session after a cut": sessions::cut;
    BOTH "session after a restart": sessions::restart;
    BOTH "offline queue": sessions::offline;
    FIVE "properties": five::properties;
    FIVE "message expiry": five::expiry;
    FIVE "subscription identifier": five::subscription_id;
    FIVE "topic alias, sent": five::alias_sent;
    FIVE "topic alias, received": five::alias_received;
    FIVE "shared subscription": five::shared;
    FIVE "maximum packet size": five::maximum_packet;
    BOTH "publisher cut before PUBREC": halfway::publisher, Begun::Publish, End::Cut;
    BOTH "publisher cut before PUBREL": halfway::publisher, Begun::Received, End::Cut;
    BOTH "publisher cut before PUBCOMP": halfway::publisher, Begun::Released, End::Cut;
    BOTH "receiver cut before PUBREC": halfway::receiver, Begun::Publish, End::Cut;
    BOTH "receiver cut before PUBREL": halfway::receiver, Begun::Received, End::Cut;
    BOTH "receiver cut before PUBCOMP": halfway::receiver, Begun::Released, End::Cut;
    BOTH "publisher, server killed before PUBREC": halfway::publisher, Begun::Publish, End::Killed;
    BOTH "publisher, server killed before PUBREL": halfway::publisher, Begun::Received, End::Killed;
    BOTH "publisher, server killed before PUBCOMP": halfway::publisher, Begun::Released, End::Killed;
    BOTH "receiver, server killed before PUBREC": halfway::receiver, Begun::Publish, End::Killed;
    BOTH "receiver, server killed before PUBREL": halfway::receiver, Begun::Received, End::Killed;
    BOTH "receiver, server killed before PUBCOMP": halfway::receiver, Begun::Released, End::Killed;
}
