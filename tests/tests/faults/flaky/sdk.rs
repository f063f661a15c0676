//! A participant with the Rust SDK.

use super::{
    PAUSE_MS,
    diary::{Book, Heard},
};
use crate::rng::Rng;
use futures_util::{StreamExt, stream::FuturesUnordered};
use parlance_client::{Client, Event, Options, Target, pb};
use parlance_tests::User;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Sends under way at once.
const WINDOW: usize = 8;
/// The shortest that the SDK has: what is half-open is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Longer than any weather.
const PATIENCE: Duration = Duration::from_secs(600);

/// Says something to one conversation or another as long as `talking`, and writes down what becomes of it and what comes.
pub(super) async fn talk(
    network: SocketAddr,
    user: User,
    conversations: Vec<(String, Target)>,
    book: Book,
    talking: watch::Receiver<bool>,
    mut rng: Rng,
) {
    let options = Options::new(format!("mqtt://{network}"), &user.handle, &user.token, "sdk")
        .keep_alive(KEEP_ALIVE)
        .connect_timeout(KEEP_ALIVE)
        .backoff(Duration::from_millis(50), Duration::from_secs(1))
        .send_timeout(PATIENCE)
        .patient();
    let (client, mut events) = Client::connect(options).await.expect("patience");
    let mut sends = FuturesUnordered::new();
    let mut next = Instant::now();
    loop {
        let may_talk = *talking.borrow() && sends.len() < WINDOW;
        tokio::select! {
            event = events.next() => match event {
                Some(event) => note(&book, event),
                None => return book.problem("the events have ended".into()),
            },
            Some((number, sent)) = sends.next() => match sent {
                Ok(sent) => book.acked(number, Some(sent)),
                Err(error) => book.problem(format!("{number} was not sent: {error}")),
            },
            () = sleep_until(next), if may_talk => {
                next = Instant::now() + rng.millis(PAUSE_MS);
                let (id, target) = &conversations[rng.within(0..conversations.len() as u64) as usize];
                let (number, text) = book.say(id, &mut rng);
                let (client, target) = (client.clone(), target.clone());
                // Polled for the first time in the order in which they are pushed.
                sends.push(async move { (number, client.send(target, text).await.map(|sent| sent.seq)) });
            }
        }
    }
}

fn note(book: &Book, event: Event) {
    match event {
        Event::Disconnected { .. } => book.connected(),
        Event::Message { message, .. } if message.kind == i32::from(pb::Kind::Message) => {
            let pb::Message { conversation, seq, text, .. } = *message;
            book.heard(Heard { conversation, seq, text, dup: false });
        }
        Event::Closed { reason } => book.problem(format!("closed: {reason:?}")),
        _ => {}
    }
}
