//! MQTT over WebSocket (chapter 6), frame by frame.

use super::prelude::*;
use crate::{
    Failure, PATIENCE,
    registry::Runs,
    transport::{Stream, upgrade},
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

tests! {
    Runs::OverWebSocket;
    only_binary_frames: ["6.0.0-1"] ["6.0.0-1"];
    frames_are_not_packets: ["6.0.0-2"] ["6.0.0-2"];
    subprotocol: ["6.0.0-4"] ["6.0.0-4"];
}

type Socket = WebSocketStream<Box<dyn Stream>>;

async fn open(cx: &Context, offered: &str) -> Outcome<(Socket, Option<String>)> {
    let endpoint = &cx.target.endpoint;
    let failed = |error: std::io::Error| Failure::Violation(format!("no WebSocket: {error}"));
    let carrier = endpoint.carrier().await.map_err(failed)?;
    let opened = upgrade(carrier, &endpoint.host(), endpoint.websocket_path(), offered).await;
    let (socket, response) = opened.map_err(failed)?;
    let chosen = response.headers().get("sec-websocket-protocol");
    Ok((socket, chosen.and_then(|name| name.to_str().ok()).map(str::to_owned)))
}

/// The bytes of a CONNECT.
fn connect(cx: &Context) -> Vec<u8> {
    let (user, password) = cx.target.credentials.clone().unzip();
    let mut connect = wire::RawConnect::new(cx.version, cx.client_id());
    if let (Some(user), Some(password)) = (user, password) {
        connect = connect.flags(wire::flag::USER_NAME | wire::flag::PASSWORD).with(user).with(password);
    }
    connect.bytes()
}

async fn send(socket: &mut Socket, bytes: &[u8]) -> Outcome {
    let sent = socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await;
    sent.map_err(|error| Failure::Violation(format!("the server closed: {error}")))
}

/// The next data frame; `None` when the server has closed.
async fn next(socket: &mut Socket) -> Outcome<Option<Message>> {
    loop {
        match timeout(PATIENCE, socket.next()).await {
            Err(_) => violation!("neither a frame nor the end"),
            Ok(Some(Ok(message @ (Message::Binary(_) | Message::Text(_))))) => return Ok(Some(message)),
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Ok(None),
            Ok(Some(Ok(_))) => {}
        }
    }
}

/// Reads binary frames until they have brought this many packets, each shorter than 128 bytes.
async fn read(socket: &mut Socket, count: usize) -> Outcome<Vec<Vec<u8>>> {
    let (mut bytes, mut packets) = (Vec::new(), Vec::new());
    while packets.len() < count {
        match bytes.get(1).map(|length: &u8| 2 + usize::from(*length)) {
            Some(length) if bytes.len() >= length => packets.push(bytes.drain(..length).collect()),
            _ => match next(socket).await? {
                Some(Message::Binary(part)) => bytes.extend_from_slice(&part),
                Some(_) => violation!("a packet in a text frame"),
                None => violation!("the server closed"),
            },
        }
    }
    ensure!(bytes.is_empty(), "{bytes:02X?} behind {count} packets");
    Ok(packets)
}

async fn read_connack(socket: &mut Socket) -> Outcome {
    let connack = read(socket, 1).await?;
    ensure!(connack[0][0] == 0x20 && connack[0][3] == 0, "{connack:02X?} in answer to CONNECT");
    Ok(())
}

async fn only_binary_frames(cx: &Context) -> Outcome {
    // Binary: answered, in binary frames.
    let (mut socket, _) = open(cx, "mqtt").await?;
    send(&mut socket, &connect(cx)).await?;
    read_connack(&mut socket).await?;
    // The same bytes as text, before and after a CONNECT.
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::Unsupported("these credentials are no text".into()));
        text.map(|text| Message::Text(text.into()))
    };
    let ended = |error| Failure::Violation(format!("the server closed too early: {error}"));
    socket.send(text(wire::packet(0x30, &[&wire::field("t")[..], b"\0"].concat()))?).await.map_err(ended)?;
    ensure!(next(&mut socket).await?.is_none(), "a text frame is answered");
    let (mut socket, _) = open(cx, "mqtt").await?;
    socket.send(text(connect(cx))?).await.map_err(ended)?;
    ensure!(next(&mut socket).await?.is_none(), "a CONNECT in a text frame is answered");
    Ok(())
}

async fn frames_are_not_packets(cx: &Context) -> Outcome {
    let ping = wire::packet(0xC0, &[]);
    // A packet in many frames.
    let (mut socket, _) = open(cx, "mqtt").await?;
    for byte in connect(cx) {
        send(&mut socket, &[byte]).await?;
    }
    read_connack(&mut socket).await?;
    // Many packets in one frame, the last of them not whole.
    send(&mut socket, &[ping.clone(), ping.clone(), vec![0xC0]].concat()).await?;
    let answer = read(&mut socket, 2).await?;
    ensure!(answer == [[0xD0, 0], [0xD0, 0]], "{answer:02X?} in answer to two PINGREQs");
    send(&mut socket, &[0]).await?;
    let answer = read(&mut socket, 1).await?;
    ensure!(answer == [[0xD0, 0]], "{answer:02X?} in answer to a PINGREQ in two frames");
    // CONNECT and what comes behind it in one frame.
    let (mut socket, _) = open(cx, "mqtt").await?;
    send(&mut socket, &[connect(cx), ping].concat()).await?;
    let answer = read(&mut socket, 2).await?;
    ensure!(answer[0][0] == 0x20 && answer[1] == [0xD0, 0], "{answer:02X?} in answer to CONNECT and PINGREQ");
    Ok(())
}

async fn subprotocol(cx: &Context) -> Outcome {
    for offered in ["mqtt", "mqtt, other", "other, mqtt"] {
        let (_, chosen) = open(cx, offered).await?;
        ensure!(chosen.as_deref() == Some("mqtt"), "of {offered:?} the server chose {chosen:?}");
    }
    Ok(())
}
