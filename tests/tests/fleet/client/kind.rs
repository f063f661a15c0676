//! Which clients there are, and where their programs are.

use parlance_mqtt::Version;
use parlance_tests::{javascript, python};
use std::{
    env,
    path::{Path, PathBuf},
};

/// A client that somebody else wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// paho-mqtt (PyPI).
    Paho,
    /// aiomqtt (PyPI).
    Aiomqtt,
    /// MQTT.js (npm).
    MqttJs,
    /// mosquitto_pub, mosquitto_sub and mosquitto_rr (Debian).
    Mosquitto,
    /// libmosquitto (Debian).
    Libmosquitto,
    /// Paho C (Debian).
    PahoC,
    /// rumqttc (crates.io).
    Rumqttc,
    /// rust-mqtt (crates.io), an embedded client without std, with a receive buffer of 256 bytes.
    RustMqtt,
}

impl Kind {
    /// As in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paho => "paho-mqtt",
            Self::Aiomqtt => "aiomqtt",
            Self::MqttJs => "MQTT.js",
            Self::Mosquitto => "mosquitto_pub/sub/rr",
            Self::Libmosquitto => "libmosquitto",
            Self::PahoC => "Paho C",
            Self::Rumqttc => "rumqttc",
            Self::RustMqtt => "rust-mqtt",
        }
    }

    /// The protocol versions that it speaks.
    pub(crate) fn versions(self) -> &'static [Version] {
        match self {
            Self::RustMqtt => &[Version::V5],
            _ => &[Version::V3, Version::V5],
        }
    }

    /// The program and its arguments; none for what runs within the test.
    pub(super) fn program(self) -> Option<(PathBuf, Vec<PathBuf>)> {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/py").join(name);
        Some(match self {
            Self::Paho => (python(), vec![script("fleet_paho.py")]),
            Self::Aiomqtt => (python(), vec![script("fleet_aiomqtt.py")]),
            Self::MqttJs => ("node".into(), vec![javascript().join("fleet.js")]),
            Self::Libmosquitto => (target(3).join("tools/c/fleet_mosquitto"), Vec::new()),
            Self::PahoC => (target(3).join("tools/c/fleet_paho"), Vec::new()),
            Self::RustMqtt => (target(2).join("parlance-embedded-client"), Vec::new()),
            Self::Mosquitto | Self::Rumqttc => return None,
        })
    }

    /// mosquitto's tools connect again by themselves and do not say that they were cut off.
    pub(super) fn tells_its_loss(self) -> bool {
        self != Self::Mosquitto
    }

    /// mosquitto_rr.
    pub(super) fn has_own_requests(self) -> bool {
        self == Self::Mosquitto
    }
}

/// A folder above the test, which is target/debug/deps/fleet-0123.
fn target(above: usize) -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    test.ancestors().nth(above).expect("a folder of cargo's").to_owned()
}
