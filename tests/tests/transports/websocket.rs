//! WebSocket as MQTT uses it: what is in the frames counts, not how it is cut.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use parlance_tests::{
    Device, PATIENCE, Server, User,
    mqtt::{Decoder, Packet, PacketId, Version, encode},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

type Socket = WebSocketStream<TcpStream>;

async fn open(server: &Server, protocol: Option<&'static str>) -> Result<Socket, Box<Error>> {
    let mut request = format!("ws://{}/mqtt", server.http()).into_client_request().expect("a URL");
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    }
    let socket = TcpStream::connect(server.http()).await.expect("a server");
    let (socket, response) = client_async(request, socket).await?;
    let chosen = response.headers().get("sec-websocket-protocol").and_then(|it| it.to_str().ok());
    assert_eq!(chosen, protocol.and_then(|it| it.split(',').next_back()).map(str::trim));
    Ok(socket)
}

fn bytes(packets: &[Packet]) -> BytesMut {
    let mut out = BytesMut::new();
    packets.iter().for_each(|packet| encode(packet, Version::V5, &mut out).expect("a packet"));
    out
}

fn connect(user: &User) -> Packet {
    Packet::Connect(Box::new(Device::new("browser").packet(user)))
}

/// The next packets, from however many frames.
async fn packets(socket: &mut Socket, count: usize) -> Vec<Packet> {
    let mut decoder = Decoder::new(1 << 20);
    decoder.set_version(Version::V5);
    let mut found = Vec::new();
    while found.len() < count {
        match timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Binary(payload))) => decoder.feed(payload),
            Some(Ok(_)) => {}
            other => panic!("the connection has ended: {other:?}"),
        }
        while let Some(packet) = decoder.next().expect("a packet") {
            found.push(packet);
        }
    }
    found
}

/// How the server ended the connection: the code of its close frame, if there was one.
async fn end(socket: &mut Socket) -> Option<CloseCode> {
    let mut code = None;
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return code,
        }
    }
}

#[tokio::test]
async fn the_subprotocol_must_be_mqtt() {
    let server = Server::start(Server::options()).await;
    for protocol in ["mqtt", "chat, mqtt"] {
        open(&server, Some(protocol)).await.expect("let in");
    }
    for protocol in [None, Some("chat"), Some("MQTT5")] {
        let Err(error) = open(&server, protocol).await else { panic!("{protocol:?} was let in") };
        let Error::Http(response) = *error else { panic!("{error}") };
        assert_eq!(response.status(), 400, "{protocol:?}");
        let body = String::from_utf8(response.into_body().unwrap_or_default()).expect("text");
        assert!(body.contains("subprotocol"), "{body}");
    }
    let plain = server.request(reqwest::Method::GET, "/mqtt").send().await.expect("an answer");
    assert!(plain.status().is_client_error());
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn packets_are_cut_anywhere() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let ping = Packet::PingReq;
    let all = bytes(&[connect(&alice), ping.clone(), ping.clone(), ping.clone()]);
    // One byte to a frame; all in one; three bytes to a frame with empty ones between.
    for size in [1, all.len(), 3] {
        let mut socket = open(&server, Some("mqtt")).await.expect("let in");
        for chunk in all.chunks(size) {
            socket.feed(Message::Binary(Bytes::copy_from_slice(chunk))).await.expect("sent");
            if size == 3 {
                socket.feed(Message::Binary(Bytes::new())).await.expect("sent");
            }
        }
        socket.flush().await.expect("sent");
        let found = packets(&mut socket, 4).await;
        assert!(matches!(found[0], Packet::ConnAck(_)), "{size}");
        assert_eq!(found[1..], [Packet::PingResp, Packet::PingResp, Packet::PingResp], "{size}");
    }
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_them() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let mut socket = open(&server, Some("mqtt")).await.expect("let in");
    let all = bytes(&[connect(&alice), Packet::PingReq]);
    let (first, rest) = all.split_at(7);
    let (second, last) = rest.split_at(5);
    let fragment = |bytes: &[u8], code, is_last| {
        Message::Frame(Frame::message(Bytes::copy_from_slice(bytes), OpCode::Data(code), is_last))
    };
    socket.send(fragment(first, Data::Binary, false)).await.expect("sent");
    socket.send(Message::Ping(Bytes::from_static(b"there?"))).await.expect("sent");
    socket.send(fragment(second, Data::Continue, false)).await.expect("sent");
    let pong = timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("a frame");
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));
    socket.send(fragment(last, Data::Continue, true)).await.expect("sent");
    assert_eq!(packets(&mut socket, 2).await[1], Packet::PingResp);
}

#[tokio::test]
async fn text_frames_end_the_connection() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    // MQTT-6.0.0-1, before and after CONNECT.
    for connected in [false, true] {
        let mut socket = open(&server, Some("mqtt")).await.expect("let in");
        if connected {
            socket.send(Message::Binary(bytes(&[connect(&alice)]).freeze())).await.expect("sent");
            packets(&mut socket, 1).await;
        }
        socket.send(Message::Text("hello".into())).await.expect("sent");
        assert_eq!(end(&mut socket).await, Some(CloseCode::Unsupported), "connected: {connected}");
    }
}

#[tokio::test]
async fn a_frame_has_a_largest_size() {
    let server = Server::start(Server::options().set("LIMITS__PACKET_BYTES_MAX", 262_144)).await;
    let alice = server.user("alice").await;
    let mut socket = open(&server, Some("mqtt")).await.expect("let in");
    socket.send(Message::Binary(bytes(&[connect(&alice)]).freeze())).await.expect("sent");
    packets(&mut socket, 1).await;
    // The frame's head alone says too much: it need not be sent.
    let id = PacketId::new(1).expect("an id");
    let mut large = bytes(&[Packet::PubAck(parlance_tests::mqtt::Ack::success(id))]);
    large.resize(600_000, 0);
    // The server may have closed before it is written.
    let _ = socket.send(Message::Binary(large.freeze())).await;
    end(&mut socket).await;
    Device::new("other").connect(&server, &alice).await.ping().await;
}
