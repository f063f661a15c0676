//! HTTP calls: who sends slowly takes no turn, and who is over a limit is told so.

use parlance_tests::{Port, Server, in_time};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn a_body_that_does_not_come_takes_no_turn() {
    let server = Server::start(Server::options().set("LIMITS__HTTP_CALLS_MAX", 1)).await;
    let alice = server.user("alice").await;
    let mut slow = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.http()).await.expect("a server");
        let head = format!(
            "POST /sendMessage HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            alice.token
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        slow.push(stream);
    }
    for _ in 0..3 {
        let call = server.call(&alice.token, "sendMessage", json!({"to": "@alice", "text": "x"}));
        in_time("a call beside slow ones", call).await;
    }
}

#[tokio::test]
async fn an_address_over_its_limit_is_told_when_to_come_back() {
    let port = Port::reserve();
    let text = format!(
        "[[listener]]\nname = 'behind'\naddress = '{}'\ntransport = 'http'\nproxy_protocol = true\n\
         proxy_from = ['127.0.0.1']\n[limits]\nconnections_per_address_max = 1\n",
        port.address
    );
    let _server = Server::start(Server::options().config(text)).await;
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x7f\0\0\x01\0\x01\0\x02";
    let ask = async |keep: bool| {
        let mut stream = TcpStream::connect(port.address).await.expect("a server");
        stream.write_all(header).await.expect("sent");
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut answer = vec![0; 4096];
        let count = in_time("an answer", stream.read(&mut answer)).await.expect("an answer");
        (String::from_utf8_lossy(&answer[..count]).to_lowercase(), keep.then_some(stream))
    };
    let (answer, _kept) = ask(true).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let (answer, _) = ask(false).await;
    assert!(answer.starts_with("http/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after: 60"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}
