//! Plain MQTT with real clients: each client that somebody else wrote, in each protocol version that it speaks, passes
//! one script on free topics: QoS 0 to 2, sessions, retained messages, wills, what MQTT 5 adds, and handshakes of QoS 2
//! that a cut connection or a killed server left half done.
//!
//! The server is Parlance. With `PARLANCE_FLEET_BROKER=mosquitto` it is mosquitto: a step that fails there too is a
//! mistake of the step or of the client.
//!
//! What a client cannot do stands in `cannot.rs` with its reason, and is printed with the results (`--nocapture`).

mod broker;
mod cannot;
mod client;
mod peer;
mod proxy;
mod script;
mod stage;
mod steps;

use client::Kind;
use parlance_mqtt::Version;

macro_rules! fleet {
    ($($name:ident: $kind:ident, $version:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                script::run(Kind::$kind, Version::$version).await;
            }
        )*

        /// Every client in every version that it speaks.
        #[cfg(test)]
        const FLEET: &[(Kind, Version)] = &[$((Kind::$kind, Version::$version)),*];
    };
}

fleet! {
    paho_python_3: Paho, V3;
    paho_python_5: Paho, V5;
    aiomqtt_3: Aiomqtt, V3;
    aiomqtt_5: Aiomqtt, V5;
    mqtt_js_3: MqttJs, V3;
    mqtt_js_5: MqttJs, V5;
    mosquitto_tools_3: Mosquitto, V3;
    mosquitto_tools_5: Mosquitto, V5;
    libmosquitto_3: Libmosquitto, V3;
    libmosquitto_5: Libmosquitto, V5;
    paho_c_3: PahoC, V3;
    paho_c_5: PahoC, V5;
    rumqttc_3: Rumqttc, V3;
    rumqttc_5: Rumqttc, V5;
    rust_mqtt_5: RustMqtt, V5;
}

#[test]
fn the_table_of_exceptions_is_about_what_exists() {
    for row in cannot::TABLE.iter().chain(cannot::REFERENCE) {
        for name in row.steps {
            let step = steps::ALL.iter().find(|step| step.name == *name);
            let step = step.unwrap_or_else(|| panic!("no step is called {name}"));
            for version in row.versions {
                assert!(FLEET.contains(&(row.kind, *version)), "no {} of {version:?}", row.kind.name());
                assert!(step.versions.contains(version), "{name} is no step of {version:?}");
            }
        }
    }
    for (kind, version) in FLEET {
        assert!(kind.versions().contains(version), "{} does not speak {version:?}", kind.name());
    }
}
