//! Target `websocket`: MQTT over WebSocket, from the upgrade request on.
//!
//! Input: one byte of choices, one byte of chunk length, then what a client sends after the server switched protocols.
//! The server's side is the real one, HTTP and WebSocket libraries included, up to the byte stream that the connection
//! reads; it sends back whatever it reads. What must hold:
//! * nothing panics or hangs, and the bytes that are held are bounded by the limits and by what arrived;
//! * the stream is the payloads of the complete binary messages before the first mistake, in order, whatever the
//!   borders of frames and chunks (MQTT-6.0.0-1, MQTT-6.0.0-2);
//! * what is sent back are well-formed frames of a server, and the payload of the binary ones is what was written.

mod frames;
#[path = "../../broker/server/src/listen/websocket/stream.rs"]
mod stream;

use axum::{Router, extract::ws::WebSocketUpgrade, response::Response, routing::get};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use self::stream::WebSocketStream;
use crate::memory;

/// Bytes between the two ends of the connection.
const WIRE_BYTES: usize = 8 * 1024;
/// Bytes held by the two libraries for a connection without anything on it, and by the runtime.
const IDLE_BYTES_MAX: usize = 128 * 1024;
/// Bytes held for each byte that arrived.
const HELD_PER_BYTE_MAX: usize = 16;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: mqtt\r\n\r\n";

/// What the bytes before the stream choose.
struct Choices {
    packet_bytes_max: usize,
    chunk_bytes: usize,
}

/// See the module.
pub fn check(input: &[u8]) {
    let Some((&[choices, chunk_bytes], sent)) = input.split_first_chunk() else { return };
    let choices = Choices {
        packet_bytes_max: if choices & 1 == 0 { 64 } else { 16 * 1024 },
        chunk_bytes: usize::from(chunk_bytes).max(1),
    };
    let expected = frames::payloads_of_client(sent, 2 * choices.packet_bytes_max);
    let (result, held) = memory::peak_of(|| {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        exchange(&runtime, sent, &choices)
    });
    let (received, answered) = result;
    assert_eq!(received, expected, "the payloads, in order");
    let returned = frames::payloads_of_server(&answered);
    assert!(received.starts_with(&returned), "sent back {returned:?} of {received:?}");
    let held_max = IDLE_BYTES_MAX + 4 * choices.packet_bytes_max + HELD_PER_BYTE_MAX * sent.len();
    assert!(held <= held_max, "{held} bytes held for {} that arrived", sent.len());
}

/// One connection from its request to its end: what the server read, and what the client got.
fn exchange(runtime: &Runtime, sent: &[u8], choices: &Choices) -> (Vec<u8>, Vec<u8>) {
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(WIRE_BYTES);
        let (done, read) = oneshot::channel();
        tokio::spawn(serve(server, choices.packet_bytes_max, done));
        let answered = converse(client, sent, choices.chunk_bytes).await;
        (read.await.expect("the connection ends"), answered)
    })
}

/// The server's end, as `broker/server` has it.
async fn serve(wire: DuplexStream, packet_bytes_max: usize, done: oneshot::Sender<Vec<u8>>) {
    let done = std::sync::Arc::new(std::sync::Mutex::new(Some(done)));
    let upgrade = move |request: WebSocketUpgrade| async move {
        let response: Response =
            stream::terms(request, packet_bytes_max).on_upgrade(move |socket| async move {
                let read = echo(WebSocketStream::new(socket)).await;
                let done = done.lock().ok().and_then(|mut done| done.take());
                done.expect("one upgrade for each connection").send(read).expect("the client waits");
            });
        response
    };
    let router = Router::new().route("/mqtt", get(upgrade));
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(wire), TowerToHyperService::new(router));
    connection.with_upgrades().await.expect("the request is a good one");
}

/// Reads to the end and sends back what it reads, as long as that can be done.
async fn echo(mut stream: WebSocketStream) -> Vec<u8> {
    let (mut read, mut buffer, mut writable) = (Vec::new(), [0; 300], true);
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..count];
        read.extend_from_slice(bytes);
        writable = writable && stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok();
    }
    // The other end may be gone, or wait for nothing any more.
    let _ = stream.shutdown().await;
    read
}

/// The client's end: the request, then the bytes in chunks, while everything that comes is read.
async fn converse(wire: DuplexStream, sent: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(wire);
    writer.write_all(REQUEST).await.expect("the server reads the request");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(reader.read_u8().await.expect("the server answers"));
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&response));
    let mut answered = Vec::new();
    let write = async {
        for chunk in sent.chunks(chunk_bytes) {
            // The server may have closed after a mistake.
            if writer.write_all(chunk).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let (_, _) = tokio::join!(write, reader.read_to_end(&mut answered));
    answered
}
