//! Clients that nobody here wrote, in conversations with each other: paho-mqtt, MQTT.js, mosquitto's tools, rumqttc.

mod conversation;
mod formats;
mod members;
mod mosquitto;
