//! What a client cannot do, and why. A step that is not named here has to pass.

use crate::client::Kind;
use parlance_mqtt::Version;

/// Steps that are left out with one client.
pub(crate) struct Cannot {
    pub(crate) kind: Kind,
    pub(crate) versions: &'static [Version],
    pub(crate) steps: &'static [&'static str],
    pub(crate) why: &'static str,
}

const BOTH: &[Version] = &[Version::V3, Version::V5];
const FIVE: &[Version] = &[Version::V5];

const NO_ALIASES: &str =
    "it does not put the topic back where the server sends its alias alone, so it must not offer any";

pub(crate) const TABLE: &[Cannot] = &[
    Cannot {
        kind: Kind::Rumqttc,
        versions: BOTH,
        steps: &[
            "receiver cut before PUBREL",
            "receiver cut before PUBCOMP",
            "receiver, server killed before PUBREC",
            "receiver, server killed before PUBREL",
            "receiver, server killed before PUBCOMP",
        ],
        why: "when a connection is lost it forgets which messages of QoS 2 it has received, and it ends the next one \
              when the server sends their PUBREL (StateError::Unsolicited)",
    },
    Cannot {
        kind: Kind::Mosquitto,
        versions: BOTH,
        steps: &[
            "publisher cut before PUBREC",
            "publisher cut before PUBREL",
            "publisher cut before PUBCOMP",
            "publisher, server killed before PUBREC",
            "publisher, server killed before PUBREL",
            "publisher, server killed before PUBCOMP",
        ],
        why: "mosquitto_pub ends when its connection is lost, and keeps nothing for its next run",
    },
    Cannot {
        kind: Kind::Mosquitto,
        versions: FIVE,
        steps: &["no will after DISCONNECT"],
        why: "mosquitto_sub that is told to end says DISCONNECT 0x04, which asks for the will",
    },
    Cannot { kind: Kind::Paho, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot { kind: Kind::Aiomqtt, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot { kind: Kind::Libmosquitto, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot { kind: Kind::Mosquitto, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot { kind: Kind::PahoC, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot { kind: Kind::Rumqttc, versions: FIVE, steps: &["topic alias, received"], why: NO_ALIASES },
    Cannot {
        kind: Kind::RustMqtt,
        versions: FIVE,
        steps: &["large payload, received"],
        why: "it has 256 bytes for a packet, and says so to the server",
    },
];

/// What mosquitto itself does not do, where it is the server.
pub(crate) const REFERENCE: &[Cannot] = &[Cannot {
    kind: Kind::RustMqtt,
    versions: FIVE,
    steps: &["offline queue"],
    why: "mosquitto 2.0.11 counts a PUBREC as the end, and so sends more than the Receive Maximum of 4 (MQTT-3.3.4-9)",
}];
