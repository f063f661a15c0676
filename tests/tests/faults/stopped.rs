//! SIGSTOP: the server stands still for a while, as on a machine that is paused, migrated, or swaps.
//!
//! **Expected**: while it stands nobody is answered, and nobody is told anything else: connections stay, new ones wait in
//! the kernel. Afterwards everything that was sent is answered once, in its order; who said something in time is not held to
//! have been silent; who was silent for longer than keep alive allows is closed (0x8D). Nothing is lost or stored twice.

use crate::{form::form, process::signal, rng::Rng};
use parlance_tests::{Client, Closed, Device, Message, Server, User, mqtt::Packet, mqtt::ReasonCode};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Publishes on their way when the server stops, and such as are sent while it stands. Together below its Receive Maximum.
const UNDER_WAY: usize = 100;
const SENT_MEANWHILE: usize = 100;
/// Publishes before that.
const BEFORE: usize = 1_000;
/// Keep alive of who pings, and of who does not, seconds: the time of standing is longer than one and a half of them.
const KEEP_ALIVE_S: u16 = 4;
/// Silence that shows that nothing is answered any more.
const SILENCE: Duration = Duration::from_millis(500);
/// What was on its way to the client when the server stopped comes within this.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

fn text(number: usize) -> String {
    format!("message {number}")
}

/// Publishes without waiting, while fewer than [`UNDER_WAY`] are unanswered.
struct Publisher {
    client: Client,
    sent: usize,
    seqs: Vec<u64>,
}

impl Publisher {
    async fn send(&mut self) {
        self.sent += 1;
        let message = Message::new("user/@bob/text", text(self.sent));
        let message = message.property("id", &format!("m-{}", self.sent));
        self.client.send(&message).await.expect("the connection stays");
    }

    async fn ack(&mut self) {
        let ack = self.client.next_ack().await.expect("the connection stays");
        assert!(!ack.repeated(), "nothing was sent twice: {ack:?}");
        self.seqs.push(ack.seq());
    }

    fn unanswered(&self) -> usize {
        self.sent - self.seqs.len()
    }

    /// Takes the answers that are there already; answers how many.
    async fn take_what_is_there(&mut self, wait: Duration) -> usize {
        let before = self.seqs.len();
        while self.unanswered() > 0 && timeout(wait, self.ack()).await.is_ok() {}
        self.seqs.len() - before
    }
}

/// Pings every second without waiting for answers, until it is enough.
async fn ping_through(mut client: Client, mut enough: watch::Receiver<bool>) -> Client {
    while timeout(Duration::from_secs(1), enough.wait_for(|enough| *enough)).await.is_err() {
        client.send_packet(&Packet::PingReq).await;
    }
    client
}

/// Comes while the server stands: a connection and a call, which are answered when it goes on.
fn newcomers(server: &Server, user: &User) -> (JoinHandle<()>, JoinHandle<()>) {
    let (broker, user) = ((**server).clone(), user.clone());
    let connecting = tokio::spawn({
        let (broker, user) = (broker.clone(), user.clone());
        async move { Device::new("late").connect(&broker, &user).await.ping().await }
    });
    // Over a connection of its own: one that was there may have been idle for too long.
    let call = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let call = call.get(format!("http://{}/me", broker.http())).bearer_auth(&user.token);
    let calling = tokio::spawn(async move {
        let answer = call.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    });
    (connecting, calling)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_goes_on_where_it_was() {
    let stands = Duration::from_secs(form(8, 30));
    let server = Server::start(Server::options()).await;
    let users = server.users(&["alice", "bob", "carol", "dan"]).await;
    let [alice, bob, carol, dan] = &users[..] else { panic!("four were asked for") };
    let mut phone = Device::new("phone").connect(&server, bob).await;
    phone.subscribe("me/text/inbox/#").await;
    let client = Device::new("laptop").connect(&server, alice).await;
    let mut publisher = Publisher { client, sent: 0, seqs: Vec::new() };
    while publisher.sent < BEFORE {
        publisher.send().await;
        if publisher.unanswered() >= UNDER_WAY {
            publisher.ack().await;
        }
    }
    let mut silent = Device::new("silent").keep_alive_s(KEEP_ALIVE_S).connect(&server, carol).await;
    let talks = Device::new("talks").keep_alive_s(KEEP_ALIVE_S).connect(&server, dan).await;
    while publisher.unanswered() < UNDER_WAY {
        publisher.send().await;
    }

    signal(&server, Signal::STOP);
    let stopped = Instant::now();
    for _ in 0..SENT_MEANWHILE {
        publisher.send().await;
    }
    let enough = watch::Sender::new(false);
    let talking = tokio::spawn(ping_through(talks, enough.subscribe()));
    let on_their_way = publisher.take_what_is_there(ON_ITS_WAY).await;
    assert_eq!(publisher.take_what_is_there(SILENCE).await, 0, "a server that stands answers nothing");
    // Half-way, so that nobody waits longer than tests do.
    sleep(stands / 2).await;
    let (connecting, calling) = newcomers(&server, alice);
    sleep(stands.saturating_sub(stopped.elapsed())).await;
    let unanswered = publisher.unanswered();
    assert!(unanswered >= SENT_MEANWHILE);
    signal(&server, Signal::CONT);
    let goes_on = Instant::now();
    publisher.ack().await;
    let answered = goes_on.elapsed();
    while publisher.unanswered() > 0 {
        publisher.ack().await;
    }

    let total = publisher.sent;
    assert_eq!(
        publisher.seqs,
        (1..=total as u64).collect::<Vec<_>>(),
        "one seq each, in the order of sending"
    );
    for number in 1..=total {
        assert_eq!(phone.next().await.text(), text(number), "on the connection of before");
    }
    assert_eq!(phone.next_within(SILENCE).await, None, "nothing twice");
    let history = server.history(&bob.token, "@alice").await;
    assert_eq!(history.len(), total);
    connecting.await.expect("who came meanwhile is let in");
    calling.await.expect("who asked meanwhile is answered");
    enough.send_replace(true);
    talking.await.expect("who pings is not closed").ping().await;
    let closed = silent.closed().await;
    assert!(matches!(closed, Closed::Told(_)), "{closed:?}");
    assert_eq!(closed.reason(), Some(ReasonCode::KeepAliveTimeout));
    println!(
        "SIGSTOP for {stands:?}: {on_their_way} answers were on their way, {unanswered} came afterwards, \
         the first after {answered:.0?}; {total} messages once and in order"
    );
}

/// Again and again, at moments that the seed chooses, while the decider writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_stops_at_any_moment() {
    let seed = crate::rng::seed(0x5EED_0006);
    let (mut rng, stops) = (Rng::new(seed), form(20, 200));
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut phone = Device::new("phone").connect(&server, &bob).await;
    phone.subscribe("me/text/inbox/#").await;
    let client = Device::new("laptop").connect(&server, &alice).await;
    let mut publisher = Publisher { client, sent: 0, seqs: Vec::new() };
    for _ in 0..stops {
        for _ in 0..rng.within(10..150) {
            publisher.send().await;
        }
        signal(&server, Signal::STOP);
        sleep(rng.millis(1..100)).await;
        signal(&server, Signal::CONT);
        while publisher.unanswered() > 0 {
            publisher.ack().await;
        }
    }
    let total = publisher.sent;
    assert_eq!(publisher.seqs, (1..=total as u64).collect::<Vec<_>>());
    for number in 1..=total {
        assert_eq!(phone.next().await.text(), text(number));
    }
    println!("SIGSTOP {stops} times: {total} messages once and in order, seed {seed} (PARLANCE_SEED)");
}
