//! The four clients behind one face. Each is a device of its user that subscribes to `me/json/inbox/#` with QoS 1 and
//! a session that stays.

use parlance_tests::{Broker, Process, User, in_time, javascript, python};
use rumqttc::v5::{
    AsyncClient, Event, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::ConnectProperties},
};
use serde_json::Value;
use std::collections::VecDeque;
use tokio::{sync::mpsc, task::JoinHandle};

/// Requests that rumqttc takes before its caller waits.
const REQUESTS_MAX: usize = 64;

/// A member of a conversation.
pub(crate) enum Member {
    /// A script of `tests/clients`: JSON lines in and out.
    Script { process: Box<Process>, early: VecDeque<Value> },
    /// Two devices of one user: `mosquitto_sub` reads, `mosquitto_pub` writes to one topic.
    Mosquitto { reader: Box<Process>, writer: Box<Process>, topic: String },
    /// rumqttc, in this program.
    Rumqttc { client: AsyncClient, came: mpsc::UnboundedReceiver<Value>, task: JoinHandle<()> },
}

impl Member {
    /// paho-mqtt: MQTT 3.1.1 over TCP.
    pub(crate) async fn paho(broker: &Broker, user: &User) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/py/member.py");
        let (host, port) = (broker.mqtt().ip().to_string(), broker.mqtt().port().to_string());
        let arguments = [script, &host, &port, &user.handle, "paho"];
        Self::script(Process::start(python(), &arguments, &[("TOKEN", &user.token)])).await
    }

    /// MQTT.js: MQTT 5 over WebSocket.
    pub(crate) async fn mqtt_js(broker: &Broker, user: &User) -> Self {
        let script = javascript().join("member.js").display().to_string();
        let url = format!("ws://{}/mqtt", broker.http());
        let arguments = [&script, &url, &user.handle, "mqtt-js"];
        Self::script(Process::start("node", &arguments, &[("TOKEN", &user.token)])).await
    }

    async fn script(mut process: Process) -> Self {
        // A server may deliver before it has answered the SUBSCRIBE (MQTT-3.8.4).
        let mut early = VecDeque::new();
        loop {
            let line = process.json().await;
            match payload(&line) {
                Some(message) => early.push_back(message),
                None if line["ready"] == true => return Self::Script { process: Box::new(process), early },
                None => panic!("{line}"),
            }
        }
    }

    /// mosquitto_sub and mosquitto_pub: MQTT 5 over TLS.
    pub(crate) async fn mosquitto(broker: &Broker, user: &User, topic: &str) -> Self {
        let (host, port) = (broker.mqtts().ip().to_string(), broker.mqtts().port().to_string());
        let ca_file = broker.ca_file().display().to_string();
        let common = [
            "-V",
            "5",
            "--cafile",
            &ca_file,
            "-h",
            &host,
            "-p",
            &port,
            "-u",
            &user.handle,
            "-P",
            &user.token,
        ];
        let read =
            ["-i", "mosquitto-sub", "-c", "-x", "3600", "-q", "1", "-t", "me/json/inbox/#", "-F", "%p"];
        let write = ["-i", "mosquitto-pub", "-q", "1", "-t", topic, "-l"];
        let reader = Process::start("mosquitto_sub", &[&common[..], &read].concat(), &[]);
        let writer = Process::start("mosquitto_pub", &[&common[..], &write].concat(), &[]);
        // What is written before it has subscribed waits for it.
        Self::Mosquitto { reader: Box::new(reader), writer: Box::new(writer), topic: topic.to_owned() }
    }

    /// rumqttc: MQTT 5 over TCP.
    pub(crate) async fn rumqttc(broker: &Broker, user: &User) -> Self {
        let address = broker.mqtt();
        let mut options = MqttOptions::new("rumqttc", address.ip().to_string(), address.port());
        options.set_credentials(&user.handle, &user.token).set_clean_start(false);
        let properties =
            ConnectProperties { session_expiry_interval: Some(3_600), ..ConnectProperties::new() };
        options.set_connect_properties(properties);
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let (found, came) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            // An error is the end: this test breaks no connection.
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Incoming::Publish(publish)) = event {
                    let message = serde_json::from_slice(&publish.payload).expect("a JSON payload");
                    // Nobody listens any more when the test is over.
                    let _ = found.send(message);
                }
            }
        });
        client.subscribe("me/json/inbox/#", QoS::AtLeastOnce).await.expect("rumqttc runs");
        Self::Rumqttc { client, came, task }
    }

    /// Whether it gets what its own user writes: where another device of the user writes.
    pub(crate) fn hears_its_user(&self) -> bool {
        matches!(self, Self::Mosquitto { .. })
    }

    /// Publishes with QoS 1.
    pub(crate) async fn publish(&mut self, topic: &str, payload: Value) {
        match self {
            Self::Script { process, .. } => {
                process.tell(&serde_json::json!({"topic": topic, "payload": payload}).to_string()).await;
            }
            Self::Mosquitto { writer, topic: only, .. } => {
                assert_eq!(topic, only);
                writer.tell(&payload.to_string()).await;
            }
            Self::Rumqttc { client, .. } => {
                let sent = client.publish(topic, QoS::AtLeastOnce, false, payload.to_string());
                in_time("rumqttc takes a publish", sent).await.expect("rumqttc runs");
            }
        }
    }

    /// The next message that it gets.
    pub(crate) async fn next(&mut self) -> Value {
        match self {
            Self::Script { process, early } => loop {
                if let Some(message) = early.pop_front() {
                    return message;
                }
                early.extend(payload(&process.json().await));
            },
            Self::Mosquitto { reader, .. } => reader.json().await,
            Self::Rumqttc { came, .. } => {
                in_time("a message for rumqttc", came.recv()).await.expect("rumqttc runs")
            }
        }
    }

    /// Says goodbye; answers what it got beside what was asked for.
    pub(crate) async fn finish(self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a line of JSON");
        match self {
            Self::Script { process, mut early } => {
                early.extend(process.finish().await.iter().map(parse).filter_map(|line| payload(&line)));
                early.into()
            }
            Self::Mosquitto { reader, writer, .. } => {
                writer.finish().await;
                reader.terminate().await.iter().map(parse).collect()
            }
            Self::Rumqttc { client, mut came, task } => {
                client.disconnect().await.expect("rumqttc runs");
                in_time("the end of rumqttc", task).await.expect("rumqttc ends well");
                std::iter::from_fn(|| came.try_recv().ok()).collect()
            }
        }
    }
}

fn payload(line: &Value) -> Option<Value> {
    line.get("payload").cloned()
}
