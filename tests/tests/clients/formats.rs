//! Each writes in its format and protocol version, each reads in its own: a 3.1.1 microcontroller and an SDK talk.

use parlance_schema::pb;
use parlance_tests::{Client, Delivery, Device, Server, User, mqtt::Version};
use prost::Message as _;
use serde_json::{Value, json};

const FORMATS: [&str; 3] = ["text", "json", "pb"];
const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

/// A message as its sender writes it.
fn written(format: &str, text: &str) -> Vec<u8> {
    match format {
        "text" => text.into(),
        "json" => json!({"text": text}).to_string().into(),
        _ => pb::Send { text: text.to_owned(), ..pb::Send::default() }.encode_to_vec(),
    }
}

/// What a recipient reads: the text; where the format has one, the seq and the sender as well.
fn read(format: &str, delivery: &Delivery) -> (String, Option<(u64, String)>) {
    match format {
        "text" => (delivery.text().to_owned(), None),
        "json" => {
            let message: Value = delivery.json();
            let text = |name: &str| message[name].as_str().expect("text").to_owned();
            (text("text"), Some((message["seq"].as_u64().expect("a seq"), text("senderHandle"))))
        }
        _ => {
            let message = pb::Message::decode(&delivery.0.payload[..]).expect("protobuf");
            (message.text, Some((message.seq, message.sender_handle)))
        }
    }
}

async fn device(server: &Server, user: &User, format: &str, version: Version) -> Client {
    let name = format!("{format}-{version:?}");
    let mut device = Device::new(name).version(version).connect(server, user).await;
    device.subscribe(&format!("me/{format}/inbox/#")).await;
    device
}

#[tokio::test]
async fn each_format_reads_every_other() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut readers = Vec::new();
    for (format, version) in pairs() {
        readers.push((format, version, device(&server, &bob, format, version).await));
    }
    for (number, (format, version)) in pairs().into_iter().enumerate() {
        let seq = number as u64 + 1;
        let text = format!("{format} over {version:?} ✓");
        let mut writer = Device::new("writer").version(version).connect(&server, &alice).await;
        let acked = writer.publish(&format!("user/@bob/{format}"), written(format, &text)).await;
        assert!(!acked.reason().is_error());
        for (format, version, reader) in &mut readers {
            let delivery = reader.next().await;
            assert_eq!(delivery.topic(), format!("me/{format}/inbox/@alice/@alice"));
            let (said, more) = read(format, &delivery);
            assert_eq!(said, text, "{format} over {version:?}");
            if let Some(more) = more {
                assert_eq!(more, (seq, "alice".to_owned()));
            }
            if *version == Version::V5 {
                assert_eq!(delivery.seq(), seq);
            }
        }
        writer.disconnect().await;
    }
}

fn pairs() -> Vec<(&'static str, Version)> {
    FORMATS.iter().flat_map(|format| VERSIONS.map(|version| (*format, version))).collect()
}

/// Data travels whole in JSON and protobuf; text says what it is.
#[tokio::test]
async fn data_is_described_where_it_cannot_be_shown() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut readers = Vec::new();
    for format in FORMATS {
        readers.push(device(&server, &bob, format, Version::V5).await);
    }
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    let data = pb::Data { content_type: "image/png".to_owned(), bytes: vec![0, 255, 7].into() };
    let send = pb::Send { data: Some(data.clone()), ..pb::Send::default() };
    assert_eq!(writer.publish("user/@bob/pb", send.encode_to_vec()).await.seq(), 1);

    let [text, json, protobuf] = &mut readers[..] else { panic!("three readers") };
    assert_eq!(text.next().await.text(), "[image/png, 3 bytes]");
    assert_eq!(json.next().await.json()["data"], json!({"contentType": "image/png", "bytes": "AP8H"}));
    let message = pb::Message::decode(&protobuf.next().await.0.payload[..]).expect("protobuf");
    assert_eq!(message.data, Some(data));
}
