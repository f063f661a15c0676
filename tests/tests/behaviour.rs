//! smoke
use parlance_tests::{Device, Server, Via};
use std::time::Instant;

#[tokio::test]
async fn smoke() {
    let t = Instant::now();
    let mut server = Server::start(Server::options()).await;
    println!("start {:?}", t.elapsed());
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    println!("users {:?}", t.elapsed());
    server.many_users("u", 500).await;
    println!("500 users {:?}", t.elapsed());
    server.register("carol").await;
    println!("register {:?}", t.elapsed());
    let mut phone = Device::new("phone").via(Via::Tls).connect(&server, &bob).await;
    phone.subscribe("me/json/inbox/#").await;
    let mut laptop = Device::new("laptop").v3().connect(&server, &alice).await;
    laptop.publish("user/@bob/text", "hello").await;
    assert_eq!(phone.next().await.json()["text"], "hello");
    server.restart().await;
    println!("restart {:?}", t.elapsed());
    server.kill();
    server.restart().await;
    println!("kill restart {:?}", t.elapsed());
    let h = server.history(&bob.token, "@alice").await;
    assert_eq!(h.len(), 1);
}
